//! Rows of `kubectl get`: the cells of an object by its kind's columns. Pure; `now` is given.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kind::{Cell, Column, ColumnType, KindDef};

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although \
    some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// The format of the column that names objects.
pub const NAME_FORMAT: &str = "name";

/// Whether a kind says itself where the name stands.
fn places_name(kind: &KindDef) -> bool {
    kind.columns.iter().any(|column| column.format == NAME_FORMAT)
}

/// The `columnDefinitions` of a Table of `kind`: the name, unless the kind places it itself, then the kind's own.
#[must_use]
pub fn column_definitions(kind: &KindDef) -> Value {
    let name = json!({
        "name": "Name", "type": "string", "format": NAME_FORMAT, "description": NAME_DESCRIPTION, "priority": 0,
    });
    let own = kind.columns.iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.type_.as_str(),
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    });
    (!places_name(kind)).then_some(name).into_iter().chain(own).collect()
}

/// The cells of `object`, in the order of [`column_definitions`].
#[must_use]
pub fn cells(kind: &KindDef, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = (!places_name(kind)).then(|| object.pointer("/metadata/name").cloned().unwrap_or_default());
    name.into_iter().chain(kind.columns.iter().map(|column| cell(column, object, now))).collect()
}

fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let found = match &column.cell {
        Cell::At(path) => path.find(object),
        Cell::Made(make) => {
            let made = make(object);
            // A count stays a number, as Kubernetes tells it, though its column is one of texts.
            return if column.type_ == ColumnType::Date { date(Some(&made), now) } else { made };
        }
    };
    match column.type_ {
        ColumnType::Date => date(found.first().copied(), now),
        ColumnType::String => printed(&found),
        ColumnType::Integer => number(found.first().copied(), Value::as_i64),
        ColumnType::Number => number(found.first().copied(), Value::as_f64),
        ColumnType::Boolean => {
            found.first().and_then(|value| value.as_bool()).map_or(Value::Null, Value::from)
        }
    }
}

fn number<T: Into<Value>>(value: Option<&Value>, read: fn(&Value) -> Option<T>) -> Value {
    value.and_then(read).map_or(Value::Null, Into::into)
}

/// All values found, as kubectl's JSONPath prints them: separated by blanks; texts bare, lists and maps as JSON.
fn printed(found: &[&Value]) -> Value {
    if found.is_empty() {
        return Value::Null;
    }
    let text = |value: &&Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Value::from(found.iter().map(text).collect::<Vec<_>>().join(" "))
}

fn date(value: Option<&Value>, now: Timestamp) -> Value {
    let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(text) = text else { return Value::from("<unknown>") };
    match text.parse::<Timestamp>() {
        Ok(at) => Value::from(age(at, now)),
        Err(_) => Value::from("<invalid>"),
    }
}

/// How long ago `at` was, as kubectl shows it: `12s`, `5m30s`, `3h15m`, `2d4h`, `1y10d`.
#[must_use]
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 365 * 2 => format!("{days}d"),
        () if years < 8 => two(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_as_kubectl_shows_them() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 3600;
        const DAY: i64 = 86_400;
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (5 * MINUTE + 30, "5m30s"),
            (10 * MINUTE, "10m"),
            (179 * MINUTE, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 15 * MINUTE, "3h15m"),
            (8 * HOUR + 5 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (2 * DAY + 4 * HOUR, "2d4h"),
            (8 * DAY, "8d"),
            (729 * DAY, "729d"),
            (740 * DAY, "2y10d"),
            (3000 * DAY, "8y"),
            (-5, "<invalid>"),
        ] {
            let at = Timestamp::UNIX_EPOCH;
            let now = Timestamp::from_second(seconds).unwrap();
            assert_eq!(age(at, now), shown, "{seconds}");
        }
    }
}
