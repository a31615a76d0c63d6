//! Rules of health and readiness checks: one way each, to a port that exists.

use std::collections::BTreeMap;

use super::super::field::cut;
use super::super::{CheckPort, FieldError, HealthCheck, HttpCheck, Port, Protocol, Span, Template};

/// The ports that checks may name.
struct Ports<'t> {
    first: Option<&'t Port>,
    named: BTreeMap<&'t str, Protocol>,
    /// For people.
    names: String,
}

impl<'t> Ports<'t> {
    fn of(ports: &'t [Port]) -> Ports<'t> {
        let named = || ports.iter().filter_map(|port| Some((port.name.as_deref()?, port.protocol)));
        let names: Vec<&str> = named().map(|(name, _)| name).collect();
        // Of two with one name, which is told elsewhere, the first counts.
        Ports { first: ports.first(), named: named().rev().collect(), names: cut(names.join(", ")) }
    }
}

pub(super) fn validate(template: &Template, errors: &mut Vec<FieldError>) {
    let ports = &Ports::of(&template.ports);
    for (index, check) in template.health_checks.iter().enumerate() {
        let path = format!("spec.healthChecks[{index}]");
        one_way(&path, check, errors);
        if let Some(http) = &check.http {
            http_check(&path, http, ports, errors);
        }
        if let Some(tcp) = &check.tcp {
            port(&format!("{path}.tcp.port"), tcp.port.as_ref(), ports, errors);
        }
        if let Some(exec) = &check.exec
            && exec.command.first().is_some_and(String::is_empty)
        {
            errors.push(FieldError::required(format!("{path}.exec.command[0]"), "the program to run"));
        }
        times(&path, check.interval, check.timeout, errors);
    }
    for (index, check) in template.readiness_checks.iter().enumerate() {
        let path = format!("spec.readinessChecks[{index}]");
        http_check(&path, &check.http, ports, errors);
        times(&path, check.interval, check.timeout, errors);
    }
}

fn one_way(path: &str, check: &HealthCheck, errors: &mut Vec<FieldError>) {
    let given: Vec<&str> =
        [("http", check.http.is_some()), ("tcp", check.tcp.is_some()), ("exec", check.exec.is_some())]
            .into_iter()
            .filter_map(|(name, given)| given.then_some(name))
            .collect();
    match given.as_slice() {
        [] => errors.push(FieldError::required(path, "one of http, tcp or exec")),
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                let message = format!("may not be given together with {first}: write another check");
                errors.push(FieldError::forbidden(format!("{path}.{other}"), message));
            }
        }
    }
}

fn http_check(path: &str, http: &HttpCheck, ports: &Ports<'_>, errors: &mut Vec<FieldError>) {
    port(&format!("{path}.http.port"), http.port.as_ref(), ports, errors);
    if !http.path.starts_with('/') || http.path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = "must start with '/' and contain no spaces";
        errors.push(FieldError::invalid(format!("{path}.http.path"), http.path.as_str(), message));
    }
}

fn port(path: &str, port: Option<&CheckPort>, ports: &Ports<'_>, errors: &mut Vec<FieldError>) {
    match port {
        None => match ports.first {
            None => errors.push(FieldError::required(path, "the app has no port that it could mean")),
            Some(first) if first.protocol == Protocol::Udp => {
                errors.push(FieldError::required(path, "the first port is not a tcp port"));
            }
            Some(_) => {}
        },
        Some(CheckPort::Number(0)) => {
            errors.push(FieldError::invalid(path, 0, "must be between 1 and 65535, or the name of a port"));
        }
        Some(CheckPort::Number(_)) => {}
        Some(CheckPort::Name(name)) => named_port(path, name, ports, errors),
    }
}

fn named_port(path: &str, name: &str, ports: &Ports<'_>, errors: &mut Vec<FieldError>) {
    match ports.named.get(name) {
        Some(Protocol::Udp) => errors.push(FieldError::invalid(path, name, "must be a tcp port")),
        Some(_) => {}
        None if ports.named.is_empty() => {
            errors.push(FieldError::invalid(path, name, "no port of spec.ports has a name"));
        }
        None => {
            let message = format!("must be the name of one of spec.ports: {}", ports.names);
            errors.push(FieldError::invalid(path, name, message));
        }
    }
}

fn times(path: &str, interval: Span, timeout: Span, errors: &mut Vec<FieldError>) {
    for (field, span) in [("interval", interval), ("timeout", timeout)] {
        if span.millis() == 0 {
            let message = "must be greater than 0s";
            errors.push(FieldError::invalid(format!("{path}.{field}"), span.to_string(), message));
        }
    }
}
