"""The house rules, checked on the package itself."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import cleannet_jax

PACKAGE = pathlib.Path(cleannet_jax.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
)
# Floors: a module imports from its own floor or from below.
FLOORS = {"ops": 1, "metrics": 1, "errors": 1, "streams": 1, "models": 2, "config": 2}
FLOORS |= {
    "localizers": 3,
    "methods": 3,
    "data": 3,
    "sample": 3,
    "checkpoint": 3,
    "distributed": 3,
    "logs": 3,
    "runs": 3,
    "report": 5,
    "in_videos": 5,
    "words": 5,
    "pages": 5,
    "programs": 6,
    "__main__": 6,
}


def floor(module):
    return FLOORS.get(module.split(".")[1], 4)


def imported(module):
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def public_functions():
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, value in vars(module).items():
            own = getattr(value, "__module__", None) == name
            if own and callable(value) and not attribute.startswith("_"):
                yield pytest.param(value, id=f"{name}.{attribute}")


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module):
    for name in imported(module):
        if name.startswith("cleannet_jax."):
            assert floor(name) <= floor(module), name


@pytest.mark.parametrize("module", [m for m in MODULES if ".metrics." in m])
def test_metrics_need_numpy_only(module):
    assert not [name for name in imported(module) if name.startswith("jax")]


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_documented(module):
    assert importlib.import_module(module).__doc__


@pytest.mark.parametrize("function", list(public_functions()))
def test_public_functions_are_documented_and_annotated(function):
    assert function.__doc__
    if inspect.isfunction(function):
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty


def test_public_names_are_sorted_and_there():
    names = list(cleannet_jax.__all__)
    assert names == sorted(names)
    for name in names:
        assert getattr(cleannet_jax, name) is not None


@pytest.mark.parametrize("name", cleannet_jax.__all__)
def test_hyperparameters_are_keyword_only(name):
    function = inspect.unwrap(getattr(cleannet_jax, name))
    if inspect.isfunction(function):
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is not parameter.empty:
                assert parameter.kind is parameter.KEYWORD_ONLY, parameter


def test_the_package_imports_jax_numpy_and_chex_alone():
    code = (
        "import sys, jax, numpy, chex; before = set(sys.modules)\n"
        "import cleannet_jax\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'flax', 'optax', 'orbax', 'grain', 'tqdm', 'torch',"
        " 'tensorboardX', 'tensorstore'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
