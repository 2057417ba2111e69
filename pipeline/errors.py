"""Every error textmill raises on purpose.

TextmillError            something a user can act on: what, where, found, wanted, next step
├── ConfigError          a recipe, a flag or an argument is wrong            (exit code 2)
│   └── ChampionChanged  an approval is about a champion that is none any more
├── StalledError         a document takes without end; the run stops and names it
├── SourceError          the input holds nothing that can be read
├── ContractError        a table does not have the columns its contract promises
├── LedgerError          rows in are not rows kept + dropped + quarantined
├── ArtifactError        a folder is not an artifact, or is damaged
│   └── DamageError      a file is not what was written there
├── GateError            a critical expectation failed; nothing downstream may start
├── TrainingError        training cannot go on (diverged, no data, wrong checkpoint)
├── NotReproduced        a version made again is not what it was, or cannot be
├── Interrupted          asked to stop; a checkpoint was written and the same command resumes
├── RunAtWork            another process holds what this one needs; again when it has ended
└── ServiceError         a server that textmill starts or talks to did not answer
"""


class TextmillError(Exception):
    """Base of the tree above; the command line prints it without a traceback and exits with 1."""


class ConfigError(TextmillError):
    """A recipe, flag or argument that cannot be used; the command line exits with 2."""


class ChampionChanged(ConfigError):
    """A version was held against a champion, and another one is champion now."""


class StalledError(TextmillError):
    """A document on which work does not end."""


class SourceError(TextmillError):
    """Nothing usable in the given sources."""


class ContractError(TextmillError):
    """A table that breaks its contract."""


class LedgerError(TextmillError):
    """A stage that lost or invented rows."""


class ArtifactError(TextmillError):
    """A folder that is no artifact, is damaged, or belongs to other inputs."""


class DamageError(ArtifactError):
    """A file whose content is not what was written, as its SHA-256 says."""


class GateError(TextmillError):
    """A critical expectation failed."""


class TrainingError(TextmillError):
    """Training that cannot continue."""


class NotReproduced(TextmillError):
    """Something of a registered version's origin, or what came of it, is not as it was."""


class Interrupted(TextmillError):
    """Work stopped on request after saving its state; run the same command again to go on."""


class RunAtWork(TextmillError):
    """Another process works on the same thing; run the same command again when it has ended."""


class ServiceError(TextmillError):
    """A server did not start or did not answer."""
