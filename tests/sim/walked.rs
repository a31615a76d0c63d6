//! A few desired-state walks; `hack/sim --walks N` takes more.

use std::collections::BTreeSet;

use crate::walks::{Walk, everything_bad, walk};

fn taken(seed: u64) -> Walk {
    let walk = walk(seed);
    assert!(walk.broken.is_empty(), "{walk}");
    assert!(walk.accepted > 50 && walk.refused > 20 && walk.recovered == 4, "{walk:?}");
    walk
}

#[test]
fn walks_end_as_the_straight_way_does_and_change_every_field() {
    let walks = [taken(0), taken(1)];
    let changed: BTreeSet<&String> = walks.iter().flat_map(|walk| &walk.changed).collect();
    let never: Vec<&String> = walks[0].fields.iter().filter(|field| !changed.contains(field)).collect();
    assert_eq!(never, Vec::<&String>::new(), "fields of the schema that no walk changes");
}

#[test]
fn everything_that_the_schema_or_the_rules_forbid_is_refused_by_name_however_it_is_written() {
    let walk = everything_bad();
    assert!(walk.broken.is_empty(), "{walk}");
    assert!(walk.refused > 500, "{} wishes were refused", walk.refused);
}
