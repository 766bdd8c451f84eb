"""The errors that callers meet: each says what is wrong, the value, what is allowed and how to mend it."""


class SublingualError(Exception):
    """Any fault that the caller can mend; the command line prints it in one line and exits with `exit_code`."""

    exit_code = 1


class DataError(SublingualError):
    """A file of sentences is wrong: the message starts `FILE:LINE (sent_id ...)`."""


class LanguageError(SublingualError):
    """A language code or name is not known; the message proposes near ones."""


class ConfigError(SublingualError):
    """A setting is unknown or impossible; raised before any work."""

    exit_code = 2


class ModelError(SublingualError):
    """A model folder is damaged, foreign, or does not fit its encoder."""


class EncoderError(SublingualError):
    """An encoder cannot be had or cannot be gated, or lacks a piece that the text needs."""


class TrainingError(SublingualError):
    """Training cannot go on: a loss that is not finite, a folder in use, a full disk."""


class SubnetworkError(SublingualError):
    """Gates that are damaged, of another shape or of another encoder, or that cannot be drawn as asked."""


class DownloadError(SublingualError):
    """A file could not be fetched whole, or is not the one that was recorded."""
