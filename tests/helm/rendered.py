"""What the chart renders for the value files of helm/hookline/ci: valid for Kubernetes, and a config that the real binary takes.

    rendered.py HELM HOOKLINE CRDS     CRDS: folder with the definitions of objects that Kubernetes itself does not have
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "hookline"
# The oldest that the chart takes, one that many run, the newest that there are schemas of.
VERSIONS = ["1.27", "1.33", "1.37"]
# What `helm template` cannot ask a cluster about.
APIS = ["monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"]
# Pod Security Standards, "restricted": kinds of volumes that are allowed.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def rendered(helm, values, version):
    command = [helm, "template", "release", str(CHART), "--namespace", "default", "-f", str(values), "--kube-version", version]
    command += [f"--api-versions={api}" for api in APIS]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"{values.name}: {ran.stderr}")
    return [thing for thing in yaml.safe_load_all(ran.stdout) if thing]


def definitions(folder):
    """apiVersion and kind -> schema, of the custom resources; unknown fields are refused as the API server would leave them out."""
    schemas = {}
    for file in folder.glob("*.yaml"):
        crd = yaml.safe_load(file.read_text())["spec"]
        for version in crd["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            closed(schema)
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[f"{crd['group']}/{version['name']}", crd["names"]["kind"]] = schema
    return schemas


def closed(schema):
    if not isinstance(schema, dict):
        return
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("anyOf", None)
        schema["type"] = ["integer", "string"]
    properties = schema.get("properties", {})
    if properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for inner in [*properties.values(), schema.get("items"), schema.get("additionalProperties")]:
        closed(inner)


def wrong_object(thing, version, schemas):
    """What the API server would not take."""
    kind = (thing["apiVersion"], thing["kind"])
    try:
        if kind in schemas:
            jsonschema.Draft202012Validator(schemas[kind]).validate(thing)
        else:
            kubernetes_validate.validate(thing, version, strict=True)
    except jsonschema.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield error.message


def wrong_together(things):
    """What is valid one by one, and wrong together."""
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in things]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"{name} is there twice"
    for thing in things:
        if "namespace" in thing["metadata"]:
            yield f"{thing['metadata']['name']} names a namespace"
    pods = {thing["metadata"]["name"]: pod for thing in things if (pod := pod_of(thing))}
    for name, pod in pods.items():
        yield from (f"pod of {name}: {wrong}" for wrong in wrong_pod(pod))
    daemon = next(thing for thing in things if thing["kind"] == "StatefulSet")
    labels = daemon["spec"]["template"]["metadata"]["labels"]
    if not daemon["spec"]["selector"]["matchLabels"].items() <= labels.items():
        yield "the StatefulSet does not select its pod"
    if ("Service", daemon["spec"]["serviceName"]) not in names:
        yield "the StatefulSet's Service is not there"
    for thing in things:
        if thing["kind"] == "PrometheusRule" and thing["spec"] != yaml.safe_load((CHART / "alerts/rules.yaml").read_text()):
            yield "the PrometheusRule is not alerts/rules.yaml"
        shown = thing.get("data", {}).get("hookline.json")
        if shown and json.loads(shown) != json.loads((CHART / "dashboards/hookline.json").read_text()):
            yield "the dashboard is not dashboards/hookline.json"
    ports = {port["name"] for port in daemon["spec"]["template"]["spec"]["containers"][0]["ports"]}
    for service in (thing for thing in things if thing["kind"] == "Service"):
        selected = service["spec"]["selector"].items() <= labels.items()
        if selected and not {port["targetPort"] for port in service["spec"]["ports"]} <= ports:
            yield f"Service {service['metadata']['name']} leads to a port that the pod does not have"


def pod_of(thing):
    if thing["kind"] == "Pod":
        return thing["spec"]
    return thing["spec"]["template"]["spec"] if thing["kind"] == "StatefulSet" else None


def wrong_pod(pod):
    """What "restricted" of the Pod Security Standards refuses, of our own containers; and mounts that lead nowhere."""
    context = pod.get("securityContext", {})
    if not (context.get("runAsNonRoot") and context.get("runAsUser") and context["seccompProfile"]["type"] == "RuntimeDefault"):
        yield "may run as root, or without a seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "gets a token of its service account"
    volumes = {volume["name"]: next(key for key in volume if key != "name") for volume in pod.get("volumes", [])}
    volumes.update({"store": "persistentVolumeClaim"} if "store" not in volumes else {})
    for name in (name for name, kind in volumes.items() if kind not in VOLUMES):
        yield f"volume {name} is of a kind that is not allowed"
    for container in pod["containers"] + pod.get("initContainers", []):
        if "hookline" not in container["image"]:
            continue
        own = container["securityContext"]
        if own["allowPrivilegeEscalation"] or own["capabilities"] != {"drop": ["ALL"]} or not own["readOnlyRootFilesystem"]:
            yield f"{container['name']} may more than it needs"
        if container["image"].endswith(":latest"):
            yield f"{container['name']} has no fixed image"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{container['name']} mounts {mount['name']}, which is no volume"


class Cluster:
    """A folder as the kubelet would fill it, with what is rendered and what ci/existing.yaml says is there."""

    def __init__(self, things, root):
        existing = [*yaml.safe_load_all((CHART / "ci/existing.yaml").read_text())]
        self.data = {}
        for thing in existing + [thing for thing in things if thing["kind"] == "ConfigMap"]:
            plain = {**thing.get("data", {}), **thing.get("stringData", {})}
            self.data[thing["kind"], thing["metadata"]["name"]] = plain
        self.root = root

    def mount(self, pod, container):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for mount in container["volumeMounts"]:
            volume = volumes.get(mount["name"], {})
            folder = self.root / mount["mountPath"].lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            if "configMap" in volume:
                held = self.data["ConfigMap", volume["configMap"]["name"]]
            elif "secret" in volume:
                held = self.data["Secret", volume["secret"]["secretName"]]
            else:
                continue
            for name, text in held.items():
                (folder / name).write_text(text)

    def environment(self, container):
        variables = {}
        for source in container.get("envFrom", []):
            variables.update(self.data["ConfigMap", source["configMapRef"]["name"]])
        for variable in container["env"]:
            if "value" in variable:
                variables[variable["name"]] = variable["value"]
            else:
                wanted = variable["valueFrom"]["secretKeyRef"]
                variables[variable["name"]] = self.data["Secret", wanted["name"]][wanted["key"]]
        return {name: self.here(value) for name, value in variables.items()}

    def here(self, text):
        for place in ("/etc/hookline", "/etc/ours", "/var/lib/hookline"):
            text = text.replace(place, f"{self.root}{place}")
        return text


def certificates(root):
    """A real certificate and key in the place of those that existing.yaml only names: librdkafka and the daemon read them."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=tests", "-keyout", root / "key.pem", "-out", root / "cert.pem"], check=True, capture_output=True)
    return {"CERTIFICATE": (root / "cert.pem").read_text(), "KEY": (root / "key.pem").read_text()}


def wrong_config(hookline, things):
    """What `hookline check` says in a folder that is filled as the pod's would be, with its arguments and its environment."""
    daemon = next(thing for thing in things if thing["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    container = next(container for container in daemon["containers"] if container["name"] == "hookline")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        cluster = Cluster(things, root)
        made = certificates(root)
        for held in cluster.data.values():
            held.update({name: made[text] for name, text in held.items() if text in made})
        cluster.mount(daemon, container)
        config = root / "etc/hookline/config/hookline.yaml"
        config.write_text(cluster.here(config.read_text()))
        assert container["args"][0] == "run"
        arguments = [cluster.here(argument) for argument in container["args"][1:]]
        environment = {**cluster.environment(container), "PATH": os.environ["PATH"]}
        ran = subprocess.run([hookline, "check", *arguments], env=environment, capture_output=True, text=True, cwd=root)
        if ran.returncode != 0:
            yield f"hookline check: {ran.stdout}{ran.stderr}"
        said = json.dumps(things)
        for (kind, name), held in cluster.data.items():
            if kind == "Secret":
                yield from (f"a value of the Secret {name} stands in an object" for text in held.values() if text in said)


def main(helm, hookline, crds):
    schemas, files = definitions(pathlib.Path(crds)), sorted((CHART / "ci").glob("*-values.yaml"))
    wrong, kinds, objects = [], set(), 0
    for values in files:
        for version in VERSIONS:
            things = rendered(helm, values, version)
            objects += len(things)
            kinds |= {thing["kind"] for thing in things}
            for thing in things:
                told = f"{values.name}, Kubernetes {version}, {thing['kind']} {thing['metadata']['name']}"
                wrong += [f"{told}: {what}" for what in wrong_object(thing, version, schemas)]
        wrong += [f"{values.name}: {what}" for what in wrong_together(things)]
        wrong += [f"{values.name}: {what}" for what in wrong_config(hookline, things)]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(files)} value files, Kubernetes {', '.join(VERSIONS)}: {objects} objects of {len(kinds)} kinds, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
