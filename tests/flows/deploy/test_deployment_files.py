"""The deployment files against their specifications, and against what our code really takes."""

import importlib.resources
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from flows import cli
from flows.environment import PREFIX, Environment
from flows.orchestration import guarded
from flows.orchestration.access import LOGIN_VARIABLE
from model.serve import arguments
from model.serve.limits import ServeLimits

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "flows" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OVERLAYS = ("base", "cuda")
BIN = Path(sys.executable).parent
SECRET = re.compile(r"PASSWORD|SECRET|(_|^)KEY$|LOGIN|AUTH_STRING|TOKEN")
USER = 10001
# Read by libraries below ours: libpq, boto3; and by images that are not ours.
OTHERS = {
    "PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION",
    "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD",
}  # fmt: skip
OURS = {
    *(f"{PREFIX}{name.upper()}" for name in Environment.model_fields),
    *(arguments.PREFIX + flag[0].strip("-").upper().replace("-", "_")
      for flag, _ in arguments.ARGUMENTS),
    LOGIN_VARIABLE,
}  # fmt: skip


def manifests(overlay: str) -> str:
    """Return what kustomize makes of an overlay, as YAML."""
    made = subprocess.run(
        [BIN / "kubectl", "kustomize", KUBERNETES / overlay], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return made.stdout


OBJECTS = {overlay: list(yaml.safe_load_all(manifests(overlay))) for overlay in OVERLAYS}
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"]
    for each in OBJECTS["base"]
    if each["kind"] == "Deployment"
}


def containers() -> Iterator[tuple[str, dict]]:
    """Yield every container of the base with the name of its pod."""
    for name, pod in PODS.items():
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield name, container


def compose_variables(service: str) -> dict[str, str]:
    """Return a service's environment."""
    return SERVICES[service].get("environment", {})


def of_kind(kind: str) -> list[dict]:
    return [each for each in OBJECTS["base"] if each["kind"] == kind]


def commands() -> Iterator[list[str]]:
    """Yield what each of our containers runs, in both worlds, references to variables filled in."""
    for name in ("prefect", "mlflow", "deploy", "worker", "api"):
        service = SERVICES[name]
        yield [*service.get("entrypoint", ["textmill"]), *service["command"]]
    for _, container in containers():
        words = [*container.get("command", ["textmill"]), *container["args"]]
        yield [re.sub(r"\$\((\w+)\)", r"value-of-\1", word) for word in words]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid_by_the_schemas_of_kubernetes(overlay, tmp_path):
    (tmp_path / "all.yaml").write_text(manifests(overlay))
    done = subprocess.run(
        [BIN / "kubernetes-validate", "--strict", tmp_path / "all.yaml"], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count(" passed ") == len(OBJECTS[overlay])


def test_every_file_of_the_base_is_in_its_kustomization():
    listed = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in (KUBERNETES / "base").iterdir()} - {"kustomization.yaml"}
    assert set(listed) == there


def test_the_compose_file_is_valid_by_its_specification():
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text("utf-8"))
    jsonschema.validate(COMPOSE, schema)
    wrong = json.loads(json.dumps(COMPOSE))
    wrong["services"]["api"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_the_containerfile_passes_its_linter():
    done = subprocess.run(
        [BIN / "hadolint", DEPLOY / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_command_is_one_that_the_program_takes():
    for words in commands():
        program, *given = words
        if program == "textmill":
            cli.build_parser().parse_args(given)
        elif program == "python":
            assert given[:2] == ["-m", guarded.__name__]
            guarded.parser().parse_args(given[2:])
        else:
            assert words[:3] == ["prefect", "worker", "start"]


def test_the_options_of_the_worker_are_prefects():
    told = subprocess.run(
        [sys.executable, "-m", "prefect", "worker", "start", "--help"], capture_output=True,
        text=True, check=True, cwd=ROOT,
    ).stdout  # fmt: skip
    for words in commands():
        if words[0] == "prefect":
            flags = [word.partition("=")[0] for word in words[3:]]
            assert flags
            assert [flag for flag in flags if f"{flag} " not in told] == []


def test_every_variable_is_one_that_is_read():
    from mlflow import environment_variables as mlflow_variables
    from prefect.settings.legacy import _get_settings_fields
    from prefect.settings.models.root import Settings

    known = OURS | OTHERS | {n for n in vars(mlflow_variables) if n.startswith("MLFLOW_")}
    known |= {*_get_settings_fields(Settings)}
    for service in SERVICES:
        assert {*compose_variables(service)} - known == set(), service
    for name, container in containers():
        given = container.get("env", [])
        referred = set(re.findall(r"\$\((\w+)\)", json.dumps(container)))
        assert {each["name"] for each in given} - known - referred == set(), name
        assert referred <= {each["name"] for each in given}, name
    image = re.findall(r"\b(TEXTMILL_\w+)=", CONTAINERFILE)
    assert {*image} - known == {"TEXTMILL_CACHE"}  # pipeline/store/storage.py


def test_no_value_of_a_secret_is_written_down():
    for service in SERVICES:
        for name, value in compose_variables(service).items():
            if SECRET.search(name):
                assert re.fullmatch(r"(textmill:)?\$\{\w+:\?see README.md\}", value), (
                    service,
                    name,
                )
    for _, container in containers():
        for each in container["env"]:
            if SECRET.search(each["name"]):
                refers = each.get("value", "").startswith("textmill:$(")
                assert refers or "secretKeyRef" in each["valueFrom"], each
    assert of_kind("Secret") == []
    settings = json.dumps(of_kind("ConfigMap")[0]["data"])
    assert not re.search(r"://[^/@]*:[^/@]*@", settings)


def test_secrets_that_files_name_are_those_that_the_page_tells_to_make():
    page = (DEPLOY / "README.md").read_text("utf-8")
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    for name in re.findall(r"\$\{TEXTMILL_(\w+):\?", text):
        assert name in re.search(r"for name in ([A-Z_0-9 ]+);", page)[1].split()
    keys = {e["valueFrom"]["secretKeyRef"]["key"] for _, c in containers() for e in c["env"]
            if "secretKeyRef" in e.get("valueFrom", {})}  # fmt: skip
    assert [key for key in keys if f"`{key}`" not in page] == []


def test_settings_that_manifests_name_are_there():
    data = of_kind("ConfigMap")[0]["data"]
    named = {e["valueFrom"]["configMapKeyRef"]["key"] for _, c in containers() for e in c["env"]
             if "configMapKeyRef" in e.get("valueFrom", {})}  # fmt: skip
    assert named == set(data)


def test_nobody_is_root_and_no_root_file_system_is_written_to():
    assert re.findall(r"^USER (.*)$", CONTAINERFILE, re.MULTILINE) == [f"{USER}:{USER}"]
    for name, service in SERVICES.items():
        user = service["user"].split(":")
        assert "0" not in user, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
    for name, pod in PODS.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == USER, name
        assert pod["automountServiceAccountToken"] is False, name
    for name, container in containers():
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert {*container["resources"]} == {"requests", "limits"}, name
        written = {each["mountPath"] for each in container["volumeMounts"]}
        assert {"/tmp", "/var/lib/textmill", "/var/cache/textmill"} <= written, name


def test_images_are_pinned():
    assert re.search(r"^ARG PYTHON_IMAGE=\S+:3\.1[12]\.\d+", CONTAINERFILE, re.MULTILINE)
    installs = re.findall(r"pip install .*", CONTAINERFILE)
    assert installs
    assert [line for line in installs if "-c constraints.txt" not in line] == []
    for service in SERVICES.values():
        assert re.search(r":[\w.-]*\d[\w.-]*\}?$", service["image"])
    assert all(re.search(r":\d", container["image"]) for _, container in containers())


def port_of(words: list[str], default: int) -> int:
    return next((int(word[7:]) for word in words if word.startswith("--port=")), default)


def test_ports_agree():
    for name in ("prefect", "mlflow", "api"):
        service, (container,) = SERVICES[name], PODS[name]["containers"]
        port = container["ports"][0]["containerPort"]
        served = {variable["name"]: variable.get("value") for variable in container["env"]}
        own = int(served.get("TEXTMILL_SERVE_PORT") or port_of(container["args"], 8000))
        theirs = compose_variables(name).get("TEXTMILL_SERVE_PORT")
        assert port == own == int(theirs or port_of(service["command"], 8000))
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]  # on loopback alone
        (inside,) = (each for each in of_kind("Service") if each["metadata"]["name"] == name)
        assert [(p["port"], p["targetPort"]) for p in inside["spec"]["ports"]] == [(port, "http")]
        (policy,) = (p for p in of_kind("NetworkPolicy") if p["metadata"]["name"] == name)
        assert policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port}]
    assert {name for name, service in SERVICES.items() if "ports" in service} == {
        "prefect", "mlflow", "api"
    }  # fmt: skip
    addresses = {compose_variables("worker")["PREFECT_API_URL"], "http://prefect:4200/api"}
    assert len(addresses) == 1


def test_probes_ask_for_paths_that_the_servers_have():
    from fastapi import FastAPI

    from model.serve.endpoints import health

    app = FastAPI()
    health.add(app, None, None)
    served = {route.path for route in app.routes}
    wanted = {name: {path} for name, path in guarded.HEALTH.items()}
    wanted |= {"api": {"/health", "/ready"}, "worker": {"/health"}}
    assert wanted["api"] <= served
    for name, pod in PODS.items():
        (container,) = pod["containers"]
        probes = [probe for key, probe in container.items() if key.endswith("Probe")]
        assert {probe["httpGet"]["path"] for probe in probes} == wanted[name]
        for probe in probes:
            sent = {h["name"]: h["value"] for h in probe["httpGet"].get("httpHeaders", ())}
            if name in guarded.HEALTH:  # they answer to their names alone
                assert f"--name={sent['Host']}" in container["args"]
        asked = " ".join(SERVICES[name].get("healthcheck", {}).get("test", [CONTAINERFILE]))
        assert any(f"{path}" in asked for path in wanted[name])


def test_a_stopping_api_has_the_time_that_its_texts_have():
    from model.serve.server import STOP_SECONDS

    needed = ServeLimits().drain_seconds_max + STOP_SECONDS
    assert PODS["api"]["terminationGracePeriodSeconds"] > needed
    assert int(SERVICES["api"]["stop_grace_period"].removesuffix("s")) > needed
