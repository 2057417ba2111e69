"""Names of models: what the registry takes in any script, and nothing else."""

import pytest

from model.registry.model_name import check_model_name, model_name_of
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    "name",
    ["smoke", "中文 模型", "हिन्दी", "ภาษาไทย", "العربية", "v1.2_b-3", "-x"],
)
def test_names_of_any_script_are_taken(name):
    check_model_name(name)
    assert model_name_of(name) == name.strip("-. ")


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "..a", "a/b", "a:b", "a@b", "a'b", 'a"b', "a\nb", " a", "a ", "x" * 201,
     "a%b", "a\u202eb", "a\0b", "`a`"],
)  # fmt: skip
def test_other_names_are_refused_with_one_that_works(name):
    with pytest.raises(ConfigError, match=r"register\.model.*--set register\.model="):
        check_model_name(name, "register.model")
    check_model_name(model_name_of(name))
