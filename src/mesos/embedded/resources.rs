//! The texts in which an operator tells what an agent has: `cpus:4;mem:4096;ports:[31000-32000]` and `rack:r1;zone:z1`.

use crate::mesos::wire::resource::Marker;
use crate::mesos::wire::{Attribute, Range, Ranges, Resource, Scalar, Set, Text, ValueType};

/// A text that does not describe resources or attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{item:?}: {problem}; expected name:number, name:[begin-end,...] or name:{{item,...}}, separated by ';'"
)]
pub struct ParseError {
    /// The part between semicolons that is wrong.
    pub item: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// What follows the name of a resource that is lent, as Mesos writes it: `cpus{REV}:2`.
const LENT: &str = "{REV}";

/// Reads resources, `cpus{REV}:2` among them: such are lent. Their amounts are checked as a master would.
///
/// # Errors
/// Names the first item that is none.
pub fn parse_resources(text: &str) -> Result<Vec<Resource>, ParseError> {
    items(text)
        .map(|item| {
            let (name, value) = split(item)?;
            let resource = match value {
                Value::Scalar(value) => Resource {
                    r#type: ValueType::Scalar.wire(),
                    scalar: Some(Scalar { value }),
                    ..Resource::default()
                },
                Value::Ranges(ranges) => {
                    Resource { r#type: ValueType::Ranges.wire(), ranges: Some(ranges), ..Resource::default() }
                }
                Value::Set(set) => {
                    Resource { r#type: ValueType::Set.wire(), set: Some(set), ..Resource::default() }
                }
                Value::Text(_) => return Err(error(item, "a resource is no text")),
            };
            let lent = name.strip_suffix(LENT);
            let name = lent.unwrap_or(name).to_owned();
            let resource = Resource { name, revocable: lent.map(|_| Marker {}), ..resource };
            super::bundle::Bundle::of(std::slice::from_ref(&resource))
                .map_err(|_| error(item, "amounts must be positive and ranges must not overlap"))?;
            Ok(resource)
        })
        .collect()
}

/// Reads attributes. What looks like a number or ranges is one, everything else is text.
///
/// # Errors
/// Names the first item that is none.
pub fn parse_attributes(text: &str) -> Result<Vec<Attribute>, ParseError> {
    items(text)
        .map(|item| {
            let (name, value) = split(item)?;
            let attribute = match value {
                Value::Scalar(value) => Attribute {
                    r#type: ValueType::Scalar.wire(),
                    scalar: Some(Scalar { value }),
                    ..Attribute::default()
                },
                Value::Ranges(ranges) => Attribute {
                    r#type: ValueType::Ranges.wire(),
                    ranges: Some(ranges),
                    ..Attribute::default()
                },
                Value::Set(set) => {
                    Attribute { r#type: ValueType::Set.wire(), set: Some(set), ..Attribute::default() }
                }
                Value::Text(value) => Attribute {
                    r#type: ValueType::Text.wire(),
                    text: Some(Text { value }),
                    ..Attribute::default()
                },
            };
            Ok(Attribute { name: name.to_owned(), ..attribute })
        })
        .collect()
}

enum Value {
    Scalar(f64),
    Ranges(Ranges),
    Set(Set),
    Text(String),
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '\n']).map(str::trim).filter(|item| !item.is_empty())
}

fn split(item: &str) -> Result<(&str, Value), ParseError> {
    let (name, value) = item.split_once(':').ok_or_else(|| error(item, "no ':' after the name"))?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        return Err(error(item, "name or value is empty"));
    }
    Ok((name, parse_value(item, value)?))
}

fn parse_value(item: &str, value: &str) -> Result<Value, ParseError> {
    if let Some(list) = value.strip_prefix('[') {
        let list = list.strip_suffix(']').ok_or_else(|| error(item, "no ']' at the end"))?;
        let ranges: Result<Vec<Range>, ParseError> = elements(list).map(|e| parse_range(item, e)).collect();
        return Ok(Value::Ranges(Ranges { range: ranges? }));
    }
    if let Some(list) = value.strip_prefix('{') {
        let list = list.strip_suffix('}').ok_or_else(|| error(item, "no '}' at the end"))?;
        return Ok(Value::Set(Set { item: elements(list).map(str::to_owned).collect() }));
    }
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::Scalar(number)),
        _ => Ok(Value::Text(value.to_owned())),
    }
}

fn elements(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty())
}

fn parse_range(item: &str, element: &str) -> Result<Range, ParseError> {
    let (begin, end) = element.split_once('-').unwrap_or((element, element));
    let bound =
        |text: &str| text.trim().parse::<u64>().map_err(|_| error(item, "a bound is no whole number"));
    Ok(Range { begin: bound(begin)?, end: bound(end)? })
}

fn error(item: &str, problem: &'static str) -> ParseError {
    ParseError { item: item.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_text_is_understood() {
        let resources =
            parse_resources("cpus:4;mem:4096; disk:10240;ports:[31000-32000, 8080-8080]").unwrap();
        let names: Vec<&str> = resources.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["cpus", "mem", "disk", "ports"]);
        assert_eq!(resources[0].scalar, Some(Scalar { value: 4.0 }));
        assert_eq!(resources[3].ranges.as_ref().unwrap().range[1], Range { begin: 8080, end: 8080 });
    }

    #[test]
    fn what_is_lent_is_told_by_its_name() {
        let resources = parse_resources("cpus:4;cpus{REV}:2").unwrap();
        let told: Vec<_> = resources.iter().map(|it| (it.name.as_str(), it.revocable.is_some())).collect();
        assert_eq!(told, [("cpus", false), ("cpus", true)]);
    }

    #[test]
    fn attributes_are_typed_by_their_looks() {
        let attributes = parse_attributes("rack:r1;size:1.5;slots:[1-3]").unwrap();
        let types: Vec<ValueType> = attributes.iter().map(Attribute::r#type).collect();
        assert_eq!(types, [ValueType::Text, ValueType::Scalar, ValueType::Ranges]);
        assert_eq!(parse_attributes("").unwrap(), []);
    }

    #[test]
    fn a_wrong_item_is_named() {
        for text in
            ["cpus", "cpus:", "cpus:four", "cpus:-1", "ports:[1-2", "ports:[2-1]", "ports:[a-b]", ":1"]
        {
            let error = parse_resources(text).unwrap_err();
            assert_eq!(error.item, text, "{error}");
        }
    }
}
