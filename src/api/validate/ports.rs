//! Rules of ports: names, numbers that must differ, and what each kind of network allows.

use std::collections::BTreeSet;

use super::super::{FieldError, Network, Port, Protocol, Template};
use super::text;

pub(super) fn validate(template: &Template, errors: &mut Vec<FieldError>) {
    let network = template.network();
    if network == Network::None && !template.ports.is_empty() {
        errors.push(FieldError::forbidden("spec.ports", "a container on network none has no ports"));
        return;
    }
    names(&template.ports, errors);
    for (index, port) in template.ports.iter().enumerate() {
        fits_network(index, port, network, errors);
    }
    numbers(&template.ports, "hostPort", |port| port.host_port, errors);
    numbers(&template.ports, "containerPort", |port| port.container_port, errors);
    numbers(&template.ports, "servicePort", |port| port.service_port, errors);
}

fn names(ports: &[Port], errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let Some(name) = port.name.as_deref() else { continue };
        let path = format!("spec.ports[{index}].name");
        text::dns_label(&path, name, errors);
        // The port of a check is a name or a number, and an unnamed port goes by its index.
        if !name.is_empty() && !name.contains(|c: char| c.is_ascii_alphabetic()) {
            errors.push(FieldError::invalid(&path, name, "must contain at least one letter"));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path, name));
        }
    }
}

fn fits_network(index: usize, port: &Port, network: Network<'_>, errors: &mut Vec<FieldError>) {
    let path = format!("spec.ports[{index}].containerPort");
    match (network, port.fixed_container_port()) {
        (Network::Host, Some(number)) if port.host_port != Some(number) => {
            let message = "on the host's network an instance listens at its host port, given as PORT0, PORT1, …: \
                           leave it out, or ask for that very hostPort";
            errors.push(FieldError::forbidden(path, message));
        }
        (Network::Named(_), None) if port.host_port.is_none() => {
            let message = "a port on a named network needs one, or a hostPort";
            errors.push(FieldError::required(path, message));
        }
        _ => {}
    }
}

/// Numbers other than 0 are given once per protocol.
fn numbers(ports: &[Port], field: &str, number: fn(&Port) -> Option<u16>, errors: &mut Vec<FieldError>) {
    let mut seen: BTreeSet<(Protocol, u16)> = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        if let Some(number) = number(port).filter(|&number| number != 0)
            && !seen.insert((port.protocol, number))
        {
            errors.push(FieldError::duplicate(format!("spec.ports[{index}].{field}"), number));
        }
    }
}
