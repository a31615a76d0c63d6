//! What people do: writes through the API's own doors, with its own refusals.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tenure::api::{Revision, labels};
use tenure::registry::options::FieldValidation;
use tenure::registry::{
    Body, DeleteOptions, Encoding, Failure, KindDef, Patch, Registry, Subresource, WriteOptions,
};

use super::stage::{NAMESPACE, Stage, all};

/// The store does not answer.
const UNAVAILABLE: u16 = 503;

/// Plays a verb of people; none of them is nothing.
pub(super) async fn act(stage: &Stage, line: &str, words: &[&str]) -> Result<Option<Vec<String>>, String> {
    let answer = match words {
        ["apply", app, ..] => {
            let spec = yaml(line, 2)?;
            let metadata = json!({"namespace": NAMESPACE, "name": app});
            let object =
                json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": metadata, "spec": spec});
            patch(stage, "App", app, Patch::Apply(Body::of(object))).await?
        }
        ["set", app, ..] => {
            let spec = yaml(line, 2)?;
            patch(stage, "App", app, Patch::Merge(Body::of(json!({"spec": spec})))).await?
        }
        ["scale", app, count] => {
            let count: u32 = count.parse().map_err(|_| format!("{count:?} is no number of instances"))?;
            patch(stage, "App", app, Patch::Merge(Body::of(json!({"spec": {"instances": count}})))).await?
        }
        ["restart", app] => {
            let again = format!("{:?}", stage.world.sim.elapsed());
            patch(stage, "App", app, Patch::Merge(Body::of(json!({"spec": {"restartedAt": again}})))).await?
        }
        ["undo", app] => undo(stage, app).await?,
        ["delete", what] => delete(stage, what).await?,
        ["secret", name, ..] => {
            let given = yaml(line, 2)?;
            let given = given.as_object().ok_or("a secret is {KEY: VALUE}")?;
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let data: Map<String, Value> =
                given.iter().map(|(key, value)| (key.clone(), json!(STANDARD.encode(text(value))))).collect();
            let metadata = json!({"namespace": NAMESPACE, "name": name});
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data});
            patch(stage, "Secret", name, Patch::Apply(Body::of(secret))).await?
        }
        ["confirm", machine] => {
            let (doc, agent) = stage.agent(machine)?;
            let asked = agent.status.as_ref().and_then(|it| it.orphans.clone());
            let asked = asked.ok_or_else(|| format!("{machine} asks nothing"))?;
            let answer = json!({"metadata": {"annotations": {labels::CONFIRM_ORPHANS: asked.digest}}});
            patch(stage, "Agent", &doc.key().name, Patch::Merge(Body::of(answer))).await?
        }
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// What stands behind so many words of a line.
fn yaml(line: &str, words: usize) -> Result<Value, String> {
    let rest =
        (0..words).fold(line.trim(), |rest, _| rest.split_once(' ').map_or("", |(_, rest)| rest.trim()));
    let body = Body::decode(rest.as_bytes(), Encoding::Yaml).map_err(|error| format!("{rest:?}: {error}"))?;
    if body.value.is_object() {
        Ok(body.value)
    } else {
        Err(format!("{rest:?} is not of the form {{FIELD: VALUE}}"))
    }
}

fn kind(door: &Registry, name: &str) -> Result<std::sync::Arc<KindDef>, String> {
    let scheme = door.scheme();
    let found = scheme.iter().find(|kind| kind.kind == name).cloned();
    found.ok_or_else(|| format!("there is no kind {name}"))
}

/// A write through the first door that is open, and the answer to it.
async fn patch(stage: &Stage, of: &str, name: &str, patch: Patch) -> Result<Vec<String>, String> {
    let mut answer = vec!["refused: no server answers".to_owned()];
    for door in stage.world.servers.doors() {
        let kind = kind(&door, of)?;
        let options = WriteOptions {
            field_manager: "people".to_owned(),
            field_validation: FieldValidation::Strict,
            force: true,
            ..WriteOptions::default()
        };
        let key = kind.key(if kind.namespaced { NAMESPACE } else { "" }, name);
        match door.patch(&kind, &key, Subresource::Main, patch.clone(), &options).await {
            Ok(written) => return Ok(written.warnings.iter().map(|it| format!("warning: {it}")).collect()),
            // The next one may reach the store.
            Err(failure) if failure.code == UNAVAILABLE => answer = refused(stage, &failure),
            Err(failure) => return Ok(refused(stage, &failure)),
        }
    }
    Ok(answer)
}

fn refused(stage: &Stage, failure: &Failure) -> Vec<String> {
    vec![format!("refused: {}", stage.narrator().names.text(&failure.message))]
}

/// Everything of the template as it was in the revision before the present one.
async fn undo(stage: &Stage, name: &str) -> Result<Vec<String>, String> {
    let (doc, app) = stage.app(name)?;
    let current = app.status.as_ref().and_then(|it| it.revision.clone());
    let of_app = |it: &Revision| it.spec.app == *name;
    let revisions: Vec<_> =
        all::<Revision>(&stage.objects(), "revisions").filter(|(_, it)| of_app(it)).collect();
    let number = revisions
        .iter()
        .find(|(_, it)| it.metadata.name == current)
        .map_or(u64::MAX, |(_, it)| it.spec.number);
    let before =
        revisions.iter().filter(|(_, it)| it.spec.number < number).max_by_key(|(_, it)| it.spec.number);
    let (_, before) = before.ok_or_else(|| format!("{name} has no earlier revision"))?;
    let json = |value: serde_json::Result<Value>| value.map_err(|error| error.to_string());
    let wanted = json(serde_json::to_value(&before.spec.template))?;
    let template = json(serde_json::to_value(&app.spec.template))?;
    let spec = doc.value().map_err(|error| error.to_string())?["spec"].clone();
    let mut change = json!({});
    for field in template.as_object().into_iter().flatten().map(|(field, _)| field) {
        if spec.get(field).is_some() && wanted.get(field).is_none() {
            change[field] = Value::Null;
        }
    }
    for (field, value) in wanted.as_object().into_iter().flatten() {
        change[field] = value.clone();
    }
    patch(stage, "App", name, Patch::Merge(Body::of(json!({"spec": change})))).await
}

/// An App or a Task.
async fn delete(stage: &Stage, what: &str) -> Result<Vec<String>, String> {
    let (of, key) = match stage.app(what) {
        Ok((doc, _)) => ("App", doc.key().clone()),
        Err(no_app) => match stage.task(what) {
            Ok((doc, _)) => ("Task", doc.key().clone()),
            Err(no_task) => return Err(format!("{no_app}; {no_task}")),
        },
    };
    let Ok(door) = stage.door() else { return Ok(vec!["refused: no server answers".to_owned()]) };
    let kind = kind(&door, of)?;
    match door.delete(&kind, &key, &DeleteOptions::default()).await {
        Ok(_) => Ok(Vec::new()),
        Err(failure) => Ok(refused(stage, &failure)),
    }
}

/// Waits until an App is as wanted at its present spec, or gone.
pub(super) async fn wait(stage: &mut Stage, app: &str, what: &str) -> Result<(), String> {
    stage.app(app)?;
    let reached = |stage: &Stage| {
        let Ok((_, app)) = stage.app(app) else { return what == "gone" };
        let status = app.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        what == "ready" && ready && status.observed_generation == app.metadata.generation
    };
    stage.wait(&format!("{app} {what}"), reached).await
}
