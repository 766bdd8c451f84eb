// What the page asks the service for. Answers that are no result become errors with the service's own words.

async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  if (reply.ok) return reply.json();
  throw new Error((await reply.text()).trim() || `The service answered ${reply.status}.`);
}

const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const models = () => ask("/api/models");
export const parse = (wanted) => post("/api/parse", wanted);
export const adapt = (wanted) => post("/api/jobs", wanted);
export const job = (id) => ask(`/api/jobs/${encodeURIComponent(id)}`);
export const stop = (id) => ask(`/api/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
export const subnetworks = (model) => ask(`/api/subnetworks?model=${encodeURIComponent(model)}`);
