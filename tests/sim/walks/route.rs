//! The way of a walk: every field in an order of its own, with bad wishes between good ones.

use serde_json::{Value, json};

use super::Walk;
use super::actors::{self, Actor, WAYS, Way};
use super::fields::{self, Branch, Field, differing};
use super::recovery::bad_states;
use super::stage::{Stage, group};
use super::wishes::{self, Bad, Wish, process};

/// So many people write at the same time.
const AT_ONCE: usize = 3;
/// Changes that are refused, per round.
const REFUSED: usize = 2;

impl Stage {
    /// The whole walk.
    pub(super) async fn wander(&mut self, walk: &mut Walk) -> Result<(), String> {
        let (fields, branches) = fields::fields(&actors::kind(&self.door()));
        walk.fields = fields.iter().map(|field| field.path.clone()).collect();
        self.meet(&fields);
        self.write_all(vec![process()], walk).await?;
        let mut left = self.shuffled(fields.clone());
        while !left.is_empty() {
            let chosen = self.one_per_owner(&mut left);
            let wishes = chosen.iter().filter_map(|field| self.other_value(field)).collect();
            self.write_all(wishes, walk).await?;
            for _ in 0..REFUSED {
                self.try_bad(&fields, &branches, walk).await?;
            }
            let time = self.world.sim.millis(1, 4_000);
            self.rest(time).await;
        }
        self.come_to_rest(walk).await?;
        for bad in bad_states() {
            if let Err(problem) = self.recover(bad, walk).await {
                walk.broken.push(problem);
            }
        }
        self.compare_with_straight_way(walk).await
    }

    pub(super) async fn be_bad(&mut self, walk: &mut Walk) -> Result<(), String> {
        let (fields, branches) = fields::fields(&actors::kind(&self.door()));
        self.meet(&fields);
        self.write_all(vec![process()], walk).await?;
        for bad in all_bad(&fields, &branches) {
            for way in WAYS {
                self.refuse(&bad, way, walk).await?;
            }
        }
        self.try_limits(walk).await
    }

    /// The most that the schema allows is accepted, though no world of ours could bear it.
    async fn try_limits(&self, walk: &mut Walk) -> Result<(), String> {
        for (group, value) in [("instances", json!(100_000)), ("resources", json!({"gpus": 1024}))] {
            let wish = Wish::from_iter([(group.to_owned(), value)]);
            let answer = self.people[group].write(&self.door(), &wish, true).await;
            answer.map_err(|failure| format!("{} is refused: {failure}", json!(wish)))?;
            walk.accepted += 1;
        }
        Ok(())
    }

    /// Each group of fields gets somebody who cares for it.
    fn meet(&mut self, fields: &[Field]) {
        for field in fields {
            let group = group(&field.path);
            if !self.people.contains_key(&group) {
                let way = self.world.sim.pick(&WAYS).copied().unwrap_or(Way::Merge);
                let name = group.clone();
                self.people.insert(group, Actor { name, way, config: Wish::new() });
            }
        }
        // Who applies creates what is not there; the others change what is.
        let (name, config) = (group("cmd"), process());
        self.people.insert(name.clone(), Actor { name, way: Way::Apply, config });
    }

    fn shuffled<T>(&self, mut things: Vec<T>) -> Vec<T> {
        for index in (1..things.len()).rev() {
            let other = self.world.sim.between(0, index as u64 + 1);
            things.swap(index, usize::try_from(other).unwrap_or(0));
        }
        things
    }

    /// Takes fields that different people care for.
    fn one_per_owner(&self, left: &mut Vec<Field>) -> Vec<Field> {
        let mut chosen: Vec<Field> = Vec::new();
        let mut index = 0;
        while index < left.len() && chosen.len() < AT_ONCE {
            if chosen.iter().any(|it| group(&it.path) == group(&left[index].path)) {
                index += 1;
            } else {
                chosen.push(left.remove(index));
            }
        }
        chosen
    }

    /// A good wish that changes the field.
    fn other_value(&self, field: &Field) -> Option<Wish> {
        let before = json!(self.wanted);
        let changes = |wish: &Wish| {
            let mut after = self.wanted.clone();
            after.extend(wish.clone());
            differing(&before, &json!(after)).contains(&field.path)
        };
        let good: Vec<Wish> = wishes::good(field).into_iter().filter(changes).collect();
        self.world.sim.pick(&good).cloned()
    }

    async fn try_bad(&self, fields: &[Field], branches: &[Branch], walk: &mut Walk) -> Result<(), String> {
        let all = all_bad(fields, branches);
        let bad = self.world.sim.pick(&all).ok_or("the schema forbids nothing")?;
        let way = self.world.sim.pick(&WAYS).copied().unwrap_or(Way::Merge);
        self.refuse(bad, way, walk).await
    }

    /// What is wanted becomes possible, and is reached.
    async fn come_to_rest(&mut self, walk: &mut Walk) -> Result<(), String> {
        let one = |field: &str, value: Value| Wish::from_iter([(field.to_owned(), value)]);
        let instances = self.world.sim.between(1, 4);
        let last = self.world.sim.between(3, 9);
        let mut image = process();
        image.insert("cmd".to_owned(), json!(format!("serve {last}")));
        let wishes = vec![
            one("instances", json!(instances)),
            one("constraints", Value::Null),
            one("resources", json!({"cpus": "200m"})),
            image,
        ];
        self.write_all(wishes, walk).await?;
        self.settle("at the end of the walk").await
    }
}

/// Everything that must be refused.
fn all_bad(fields: &[Field], branches: &[Branch]) -> Vec<Bad> {
    let mut all: Vec<Bad> = fields.iter().flat_map(wishes::bad).collect();
    all.extend(branches.iter().flat_map(wishes::misshapen));
    all.extend(wishes::contradictory());
    all
}
