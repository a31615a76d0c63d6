"""What people do with the official Python client, against the server of KUBECONFIG: fails at the first answer that is wrong."""
import datetime
import json

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
api = client.ApiClient()
core, custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
GROUP = ("tenure.dev", "v1", "default", "apps")


def refused(code, what, *arguments, **named):
    try:
        what(*arguments, **named)
    except ApiException as error:
        assert error.status == code, error
        return error
    raise AssertionError(f"not refused with {code}")


def app(name, **spec):
    return {"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": name},
            "spec": {"cmd": "sleep 1000", **spec}}


# The dynamic client finds kinds by discovery.
apps = dynamic.DynamicClient(api).resources.get(api_version="tenure.dev/v1", kind="App")
assert (apps.name, apps.namespaced) == ("apps", True)
made = apps.create(body=app("web", instances=2), namespace="default")
assert (made.metadata.generation, made.spec.instances) == (1, 2)
refused(409, apps.create, body=app("web"), namespace="default")
refused(422, apps.create, body=app("bad", instances=-1), namespace="default")
assert [it.metadata.name for it in apps.get(namespace="default", label_selector="!x").items] == ["web"]
merged = apps.patch(name="web", namespace="default", body={"spec": {"instances": 3}},
                    content_type="application/merge-patch+json")
assert merged.spec.instances == 3
refused(415, apps.patch, name="web", namespace="default", body={"spec": {"instances": 3}})
applied = apps.server_side_apply(body={**app("web"), "spec": {"env": [{"name": "A", "value": "1"}]}},
                                 name="web", namespace="default", field_manager="a")
assert applied.spec.env[0].value == "1" and applied.spec.instances == 3
taken = {**app("web"), "spec": {"env": [{"name": "A", "value": "2"}]}}
told = refused(409, apps.server_side_apply, body=taken, name="web", namespace="default", field_manager="b")
assert 'conflict with "a"' in json.loads(told.body)["message"], told.body
forced = apps.server_side_apply(body=taken, name="web", namespace="default", field_manager="b", force_conflicts=True)
assert forced.spec.env[0].value == "2"

# A watch, from a list on: what happens in between is told, in order.
listed = custom.list_namespaced_custom_object(*GROUP)
custom.patch_namespaced_custom_object_scale(*GROUP, "web", {"spec": {"replicas": 5}})
custom.create_namespaced_custom_object(*GROUP, app("db"))
custom.delete_namespaced_custom_object(*GROUP, "db")
seen = []
for event in watch.Watch().stream(custom.list_namespaced_custom_object, *GROUP, timeout_seconds=30,
                                  resource_version=listed["metadata"]["resourceVersion"]):
    seen.append((event["type"], event["object"]["metadata"]["name"]))
    if len(seen) == 3:
        break
assert seen == [("MODIFIED", "web"), ("ADDED", "db"), ("MODIFIED", "db")], seen
for event in apps.watch(namespace="default", name="web", timeout=30):
    assert (event["type"], event["object"].spec.instances) == ("ADDED", 5)
    break

# What stands is replaced by whoever saw it last.
stale = custom.get_namespaced_custom_object(*GROUP, "web")
stale["spec"]["instances"] = 6
custom.replace_namespaced_custom_object(*GROUP, "web", stale)
refused(409, custom.replace_namespaced_custom_object, *GROUP, "web", stale)
status = custom.patch_namespaced_custom_object_status(*GROUP, "web", {"status": {"running": 4}})
assert (status["status"]["running"], status["spec"]["instances"]) == (4, 6)
assert custom.get_namespaced_custom_object_scale(*GROUP, "web")["spec"]["replicas"] == 6

# Typed kinds, in the old way of patching and in the new one.
core.create_namespaced_config_map("default", client.V1ConfigMap(
    metadata=client.V1ObjectMeta(name="c"), data={"a": "1"}))
changed = core.patch_namespaced_config_map("c", "default", {"data": {"b": "2"}})
assert changed.data == {"a": "1", "b": "2"}
secret = core.create_namespaced_secret("default", client.V1Secret(
    metadata=client.V1ObjectMeta(name="s"), string_data={"password": "x"}))
assert secret.data == {"password": "eA=="} and secret.type == "Opaque"
now = datetime.datetime.now(datetime.timezone.utc)
leases = client.CoordinationV1Api(api)
lease = leases.create_namespaced_lease("default", client.V1Lease(
    metadata=client.V1ObjectMeta(name="l"),
    spec=client.V1LeaseSpec(holder_identity="a", lease_duration_seconds=15, renew_time=now)))
other = leases.read_namespaced_lease("l", "default")
assert other.spec.renew_time == now
lease.spec.holder_identity = "b"
leases.replace_namespaced_lease("l", "default", lease)
refused(409, leases.replace_namespaced_lease, "l", "default", other)
review = client.AuthorizationV1Api(api).create_self_subject_access_review(client.V1SelfSubjectAccessReview(
    spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(
        verb="list", group="tenure.dev", resource="apps"))))
assert review.status.allowed
events = client.EventsV1Api(api)
events.create_namespaced_event("default", client.EventsV1Event(
    metadata=client.V1ObjectMeta(generate_name="e-"), event_time=now, reason="Tried", note="it", type="Normal",
    action="Try", reporting_controller="test", reporting_instance="test-1",
    regarding=client.V1ObjectReference(kind="App", api_version="tenure.dev/v1", name="web", namespace="default")))
assert [it.reason for it in core.list_namespaced_event("default", field_selector="involvedObject.name=web").items] == ["Tried"]
print("all of it")
