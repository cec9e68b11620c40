"""Reads an INI file in configparser's dialect: no interpolation, no DEFAULT section, errors that name the line."""

import configparser
from pathlib import Path

from services.common.setting_errors import ConfigurationError

# No file can contain this name, so that [DEFAULT] is a section like any other.
_NO_DEFAULT_SECTION = "\0"


def read_ini(path: Path) -> dict[str, dict[str, str]]:
    """Section -> key -> text. Keys are in lower case.

    Raises:
        ConfigurationError: the file cannot be read, or its syntax is wrong; each problem names file and line.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section=_NO_DEFAULT_SECTION)
    try:
        with path.open(encoding="utf-8-sig") as file:
            parser.read_file(file, source=str(path))
    except configparser.DuplicateSectionError as error:
        raise ConfigurationError([f"{path}:{error.lineno}: section [{error.section}] appears twice"]) from error
    except configparser.DuplicateOptionError as error:
        problem = f"{path}:{error.lineno}: {error.section}.{error.option} appears twice"
        raise ConfigurationError([problem]) from error
    except configparser.MissingSectionHeaderError as error:
        raise ConfigurationError([f"{path}:{error.lineno}: a [section] must come before the first key"]) from error
    except configparser.ParsingError as error:
        # The line itself may hold a secret.
        raise ConfigurationError([f"{path}:{line}: expected `key = value`" for line, _ in error.errors]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 text ({error.reason} at byte {error.start})"]) from error
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    return {section: dict(parser.items(section)) for section in parser.sections()}
