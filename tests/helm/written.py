"""What in the chart is written down elsewhere: the schema of `config`, the README's table, the ranges of the egress guard, alerts, dashboard.

    written.py           says what is not as it should be
    written.py --write   writes it
"""

import ipaddress
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "hookline"
EXAMPLE = ROOT / "config" / "hookline.example.yaml"

# A scalar of the config may be a reference to the environment or to a file: a text, whatever it stands for.
SCALAR = ["string", "number", "boolean", "null"]
# What the example shows one form of, or nothing: (path, schema).
FORMS = {
    "config.mappings": {"type": "array", "items": {"type": "string"}},
    "config.subscriptions": {"type": "array", "items": {"type": "string"}},
    "config.egress.ports": {"type": ["string", "array"]},
    "config.egress.allow": {"type": "array", "items": {"type": "string"}},
    "config.egress.deny": {"type": "array", "items": {"type": "string"}},
    "config.store.encryption_keys": {"type": "array", "items": {"type": "string"}},
    "config.api.tokens": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "token", "scope"],
            "properties": {name: {"type": "string"} for name in ("name", "token", "scope")},
        },
    },
    # In place of a schedule.
    "config.delivery.retry": {"more": {"min": {"type": SCALAR}, "max": {"type": SCALAR}, "factor": {"type": SCALAR}}},
}


def schema_of(value, path):
    """The schema of what may stand at `path`, where the example has `value`. A form that is there already is completed, not doubled."""
    form = FORMS.get(path, {})
    if "type" in form:
        return form
    if isinstance(value, dict) and value:
        properties = {key: schema_of(inner, f"{path}.{key}") for key, inner in value.items()}
        properties.update(form.get("more", {}))
        return {"type": "object", "additionalProperties": False, "properties": properties}
    if isinstance(value, dict):
        return {"type": "object"}  # names that are the user's
    if isinstance(value, list):
        return {"type": "array"}
    return {"type": SCALAR}


def schema():
    written = json.loads((CHART / "values.schema.json").read_text())
    config = schema_of(yaml.safe_load(EXAMPLE.read_text()), "config")
    config["description"] = "The config file, as in config/hookline.example.yaml; made from it by tests/helm/written.py"
    written["properties"]["config"] = config
    return json.dumps(written, indent=2) + "\n"


def readme():
    """The README with the table of values, from the comments (`# -- text`) of values.yaml."""
    text = (CHART / "README.md").read_text()
    begin, end = "<!-- values: made by tests/helm/written.py -->\n", "<!-- end of values -->\n"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    rows = ["| value | default | |\n", "|---|---|---|\n"]
    rows += [f"| `{path}` | `{default}` | {told} |\n" for path, default, told in values()]
    return head + begin + "\n" + "".join(rows) + "\n" + end + tail


def values():
    """(path, default, what its comment says) of each value that has a comment."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    path, told = [], None
    for line in (CHART / "values.yaml").read_text().splitlines():
        comment = re.match(r"\s*# (-- )?(.*)", line)
        if comment:
            if comment[1]:
                told = comment[2]
            elif told is not None:
                told += " " + comment[2]
            continue
        key = re.match(r"( *)([\w]+):", line)
        if not key or told is None and key[1] == "" and not line.rstrip().endswith(":"):
            if key:
                raise SystemExit(f"values.yaml: {key[2]} has no comment (# -- what it is)")
            continue
        path = path[: len(key[1]) // 2] + [key[2]]
        if told is None:
            continue
        default = defaults
        for name in path:
            default = default[name]
        yield ".".join(path), json.dumps(default).replace("|", "\\|"), told.replace("|", "\\|")
        told = None


def leaves(part, told, path=""):
    """Paths that a schema knows, down to where a value has a comment: what is below is Kubernetes' or the config's."""
    for key, inner in part.get("properties", {}).items():
        here = f"{path}.{key}" if path else key
        if here in told or here == "config" or "properties" not in inner:
            yield here
        else:
            yield from leaves(inner, told, here)


def wrong_ranges():
    """The ranges of _egress.tpl against those of src/egress/address.rs."""
    guard = (ROOT / "src/egress/address.rs").read_text()
    policy = (CHART / "templates/_egress.tpl").read_text()

    def of_guard(const):
        return re.findall(r'"([0-9a-f:.]+/\d+)"', re.search(rf"const {const}:.*?\];", guard, re.S)[0])

    def of_policy(name):
        part = re.search(rf'define "hookline.{name}" -}}}}(.*?){{{{- end', policy, re.S)[1]
        return re.findall(r"[0-9a-f:.]+/\d+", part)

    def inside(v4):
        net = ipaddress.ip_network(v4)
        address = ipaddress.IPv6Address("64:ff9b::") + int(net.network_address)
        return ipaddress.ip_network((address, 96 + net.prefixlen))

    v4, v6 = of_guard("V4"), of_guard("V6")
    if sorted(of_policy("refusedV4")) != sorted(v4):
        yield f"_egress.tpl: refusedV4 is not V4 of src/egress/address.rs: {sorted(v4)}"
    if sorted(of_policy("refusedV6")) != sorted(v6):
        yield f"_egress.tpl: refusedV6 is not V6 of src/egress/address.rs: {sorted(v6)}"
    nat64 = sorted(map(inside, v4))
    if sorted(map(ipaddress.ip_network, of_policy("refusedNat64"))) != nat64:
        yield f"_egress.tpl: refusedNat64 is not V4 inside 64:ff9b::/96: {[str(net) for net in nat64]}"


def wrong_files(write):
    """Files of the chart whose text is made or copied from elsewhere."""
    made = {CHART / "values.schema.json": schema(), CHART / "README.md": readme()}
    for copy, source in {"dashboards/hookline.json": "deploy/grafana/hookline.json", "alerts/rules.yaml": "deploy/prometheus/rules.yaml"}.items():
        if (ROOT / source).exists():
            made[CHART / copy] = (ROOT / source).read_text()
    for file, text in made.items():
        if file.read_text() == text:
            continue
        if write:
            file.write_text(text)
        else:
            yield f"{file.relative_to(ROOT)} is not what it is made from: tests/helm/run --write"


def wrong_names():
    """Values without schema, and schema without values."""
    told = {path for path, _, _ in values()} - {"config.kafka.brokers"}
    known = set(leaves(json.loads((CHART / "values.schema.json").read_text()), told)) - {"global"}
    for path in sorted(known - told):
        yield f"values.yaml: {path} is in the schema, and has no default and comment"
    for path in sorted(told - known):
        yield f"values.schema.json: {path} of values.yaml is not there"


if __name__ == "__main__":
    wrong = [*wrong_files("--write" in sys.argv), *wrong_ranges(), *wrong_names()]
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)
