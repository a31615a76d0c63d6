//! Ends that are compared: after the way back from a bad state, and with a world that knows only the last wish.

use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::App;
use tenure::registry::{Fence, Write};

use super::Walk;
use super::actors::{app, present};
use super::stage::Stage;
use super::wishes::{Wish, process};

/// A state from which there must be a way back.
pub(super) struct BadState {
    name: &'static str,
    wish: Wish,
    /// What some condition says.
    told: &'static str,
}

pub(super) fn bad_states() -> Vec<BadState> {
    let state = |name: &'static str, wish: Value, told: &'static str| {
        let wish = wish.as_object().cloned().unwrap_or_default();
        BadState { name, wish, told }
    };
    let mut missing = process();
    missing.insert("container".to_owned(), json!({"image": "missing/web:1"}));
    vec![
        BadState { name: "an image that fails", wish: missing, told: "failed" },
        state(
            "a constraint that nothing meets",
            json!({"constraints": [{"attribute": "hostname", "operator": "IS", "value": "nowhere"}]}),
            "hostname",
        ),
        state("more than any machine has", json!({"resources": {"cpus": 64}}), "cpus"),
        state(
            "a Secret that is not there",
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no", "key": "a"}}}]}),
            "Secret no",
        ),
    ]
}

impl Stage {
    /// From a good state into a bad one, and back.
    pub(super) async fn recover(&mut self, bad: BadState, walk: &mut Walk) -> Result<(), String> {
        let good = self.end();
        let before: Wish = bad
            .wish
            .keys()
            .map(|name| (name.clone(), self.wanted.get(name).cloned().unwrap_or_default()))
            .collect();
        self.world.sim.log(format_args!("into a bad state: {}", bad.name));
        self.write_all(vec![bad.wish.clone()], walk).await?;
        self.rest(Duration::from_secs(40)).await;
        walk.broken.extend(self.is_told(&bad).await.err().map(|what| format!("{}: {what}", bad.name)));
        self.write_all(vec![before], walk).await?;
        self.settle(bad.name).await?;
        let differences = self.end().differences(&good);
        if !differences.is_empty() {
            let (name, differences) = (bad.name, differences.join("\n  "));
            return Err(format!("{name}: the way back leads elsewhere:\n  {differences}"));
        }
        walk.recovered += 1;
        Ok(())
    }

    /// The App's conditions tell of a bad state.
    async fn is_told(&self, bad: &BadState) -> Result<(), String> {
        let object = present(&self.door()).await.map_err(|failure| failure.to_string())?;
        let app = serde_json::from_value::<App>(object).map_err(|error| error.to_string())?;
        let conditions = app.status.unwrap_or_default().conditions;
        if conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True") {
            return Err("it is called ready".to_owned());
        }
        if !conditions.iter().any(|it| it.message.contains(bad.told)) {
            let told: Vec<&String> = conditions.iter().map(|it| &it.message).collect();
            return Err(format!("no condition tells of {:?}: {told:?}", bad.told));
        }
        Ok(())
    }

    /// The present spec, wanted from the beginning in a new world, comes to the same.
    pub(super) async fn compare_with_straight_way(&mut self, walk: &mut Walk) -> Result<(), String> {
        let object = present(&self.door()).await.map_err(|failure| failure.to_string())?;
        let spec: Wish = object["spec"].as_object().cloned().unwrap_or_default();
        let mut other = Stage::set(walk.seed + 1_000_000).await;
        let value = app("web", &spec);
        let created = other.door().commit(&Fence::none(), vec![Write::Create { value }]).await;
        created.map_err(|error| format!("what is stored cannot be created: {error:?}"))?;
        other.settle("on the straight way").await?;
        let differences = self.end().differences(&other.end());
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!("the walk ends elsewhere than the straight way:\n  {}", differences.join("\n  ")))
    }
}
