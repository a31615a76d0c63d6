//! Which GPUs a container gets. Docker's own count always means the machine's first ones, whoever has them already; an agent of Mesos gives
//! an executor its own, and lets it open no others.

use std::fs::File;
use std::path::Path;

use bollard::models::ContainerCreateBody;

/// The GPUs that are asked for are named by their ids afterwards: those that the agent has given this executor, below `root`.
///
/// # Errors
/// In a person's words, when it is not to be told which those are.
pub(super) fn name(body: &mut ContainerCreateBody, asked: f64, root: &Path) -> Result<(), String> {
    let requests = body.host_config.as_mut().and_then(|host| host.device_requests.as_mut());
    let Some(request) = requests.and_then(|requests| requests.first_mut()).filter(|_| asked > 0.0) else {
        return Ok(());
    };
    let given = given(root);
    if request.count != i64::try_from(given.len()).ok() {
        return Err(format!(
            "{asked} gpus are asked for and this executor may use {} of this machine's: only where these are the same is it known which are \
             the task's (agent's flag --isolation=cgroups/devices,gpu/nvidia, and an executor of its own for the task)",
            given.len()
        ));
    }
    (request.count, request.device_ids) = (None, Some(given));
    Ok(())
}

/// The ids of the NVIDIA devices that this process may open.
fn given(root: &Path) -> Vec<String> {
    let known = std::fs::read_dir(root.join("proc/driver/nvidia/gpus")).into_iter().flatten().flatten();
    let mut given: Vec<String> = known
        .filter_map(|gpu| {
            let text = std::fs::read_to_string(gpu.path().join("information")).ok()?;
            let value = |name: &str| {
                text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
            };
            let device = root.join(format!("dev/nvidia{}", value("Device Minor")?));
            File::options().read(true).write(true).open(device).ok()?;
            Some(value("GPU UUID")?.to_owned())
        })
        .collect();
    given.sort();
    given
}

#[cfg(test)]
mod tests {
    use bollard::models::{DeviceRequest, HostConfig};

    use super::*;
    use crate::executor::docker::params;

    fn body(count: i64) -> ContainerCreateBody {
        let request = DeviceRequest { count: Some(count), ..params::gpu_request() };
        let host = HostConfig { device_requests: Some(vec![request]), ..HostConfig::default() };
        ContainerCreateBody { host_config: Some(host), ..ContainerCreateBody::default() }
    }

    #[test]
    fn a_container_gets_the_gpus_that_the_agent_has_given_or_none() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dev")).unwrap();
        // The one that cannot be opened is another's.
        for (minor, id, is_given) in [(0, "GPU-a", false), (1, "GPU-c", true), (2, "GPU-b", true)] {
            let folder = root.path().join(format!("proc/driver/nvidia/gpus/0000:0{minor}:00.0"));
            std::fs::create_dir_all(&folder).unwrap();
            let text = format!("Model: \t\t Tesla\nGPU UUID: \t {id}\nDevice Minor: \t {minor}\n");
            std::fs::write(folder.join("information"), text).unwrap();
            if is_given {
                std::fs::write(root.path().join(format!("dev/nvidia{minor}")), "").unwrap();
            }
        }
        let mut asked = body(2);
        name(&mut asked, 2.0, root.path()).unwrap();
        let request = asked.host_config.unwrap().device_requests.unwrap().remove(0);
        assert_eq!(request.device_ids, Some(vec!["GPU-b".to_owned(), "GPU-c".to_owned()]));
        assert_eq!(request.count, None);
        for count in [1, 3] {
            let why = name(&mut body(count), 1.0, root.path()).unwrap_err();
            assert!(why.contains("may use 2 of this machine's"), "{why}");
        }
        name(&mut ContainerCreateBody::default(), 0.0, root.path()).unwrap();
    }
}
