//! Rules of containers: image references, networks, parameters, volumes.

use super::super::docker_options::{KNOWN, REFUSED};
use super::super::{Container, FieldError, Network};
use super::{repeats, text};

pub(super) fn validate(container: &Container, errors: &mut Vec<FieldError>) {
    if !is_image_reference(&container.image) {
        let message = "must be an image reference such as nginx:1.27 or registry.example:5000/team/web:1.4";
        errors.push(FieldError::invalid("spec.container.image", container.image.as_str(), message));
    }
    if let Network::Named(name) = container.network()
        && !is_docker_name(name)
    {
        let message = "must be host, bridge, none or the name of a Docker network";
        errors.push(FieldError::invalid("spec.container.network", name, message));
    }
    parameters(container, errors);
    volumes(container, errors);
    if let Some(secret) = &container.pull_secret {
        text::dns_subdomain("spec.container.pullSecret", secret, errors);
    }
}

fn parameters(container: &Container, errors: &mut Vec<FieldError>) {
    for (index, parameter) in container.parameters.iter().enumerate() {
        let key = parameter.key.as_str();
        let path = format!("spec.container.parameters[{index}].key");
        if key.starts_with('-') || key.contains(|c: char| c == '=' || c.is_whitespace()) {
            let message = "must be the long name of an option of docker run, without dashes in front";
            errors.push(FieldError::invalid(path, key, message));
        } else if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
            errors.push(FieldError::forbidden(path, format!("{key} may not be given: {reason}")));
        } else if !KNOWN.contains(&key) {
            errors.push(FieldError::not_supported(path, key, KNOWN));
        }
    }
}

fn volumes(container: &Container, errors: &mut Vec<FieldError>) {
    let targets = container.volumes.iter().map(|volume| volume.container_path.trim_end_matches('/'));
    for ((index, volume), is_again) in container.volumes.iter().enumerate().zip(repeats(targets)) {
        let path = format!("spec.container.volumes[{index}]");
        text::absolute_path(&format!("{path}.containerPath"), &volume.container_path, errors);
        text::absolute_path(&format!("{path}.hostPath"), &volume.host_path, errors);
        if is_again {
            errors
                .push(FieldError::duplicate(format!("{path}.containerPath"), volume.container_path.as_str()));
        }
    }
}

fn is_docker_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// The grammar of Docker's references, without its rule on the length.
fn is_image_reference(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let parts: Vec<&str> = name.split('/').collect();
    let has_domain = parts.len() > 1 && is_domain(parts[0]);
    let path = if has_domain { &parts[1..] } else { &parts[..] };
    path.iter().all(|part| is_path_component(part)) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

/// The first part names a registry if it looks like a host.
fn is_domain(part: &str) -> bool {
    let (host, port) = part.split_once(':').map_or((part, None), |(host, port)| (host, Some(port)));
    (part.contains(['.', ':']) || part == "localhost")
        && !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_path_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(plain) && part.ends_with(plain) && part.chars().all(|c| plain(c) || "._-".contains(c))
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || ".-".contains(c))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_are_those_of_docker() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for image in [
            "nginx",
            "nginx:1.27",
            "team/web_app:1.4-rc.1",
            "localhost/web",
            "registry.local:5000/web:1.4",
            "Registry.example/a/b__c/d",
            &format!("web@{digest}"),
            &format!("r.io/web:1@{digest}"),
        ] {
            assert!(is_image_reference(image), "{image}");
        }
        for image in [
            "",
            "Web",
            "we b",
            "web:",
            "web:a b",
            "web@sha256:12",
            "/web",
            "web/",
            "a//b",
            "-web",
            "web:1/x:2:3",
        ] {
            assert!(!is_image_reference(image), "{image}");
        }
    }
}
