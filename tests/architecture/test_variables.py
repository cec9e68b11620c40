"""Every key of every process can be set by the environment, by a name that is no other key's."""

from collections import defaultdict

import pytest

from core.settings import CONFIG_FILE_ENVS
from services.common.setting_variables import SECRET_FILE, variable
from services.common.settings import ConfigurationError, Section, describe, load, variables_of
from tools.gen_docs.configuration import by_process

SECTIONS = list(dict.fromkeys(section for sections in by_process().values() for section in sections))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_is_set_by_its_variable(section: type[Section]) -> None:
    for each in describe([section]):
        name = variable(each.section, each.key)
        environ = {name: each.default or "x"}
        try:
            assert load([section], {}, environ).sources[each.section, each.key] == f"env {name}"
        except ConfigurationError as error:
            # What is required besides is not given, or the text is none for this key.
            own = [problem for problem in error.problems if problem.startswith(f"{each.section}.{each.key}")]
            assert all(f"({name})" in problem for problem in own)
            assert own or not each.required


def test_no_variable_is_read_for_two_keys() -> None:
    keys_of: dict[str, set[tuple[str, str]]] = defaultdict(set)
    derived: set[str] = set(CONFIG_FILE_ENVS)
    for each in describe(SECTIONS):
        name = variable(each.section, each.key)
        derived |= {name, f"{name}{SECRET_FILE}"} if each.secret else {name}
        for known in variables_of([each]):
            keys_of[known].add((each.section, each.key))
    assert not keys_of.keys() & set(CONFIG_FILE_ENVS)
    assert {name: keys for name, keys in keys_of.items() if name in derived and len(keys) > 1} == {}
