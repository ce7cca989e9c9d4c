//! A host that lets containers: what it runs, and how it is told what became of that.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use cooperator_cluster::machine::Machine;

use crate::backend::{Container, Reporter};

/// What its host does.
const BODY: &str = include_str!("container.sh");
/// Where a state folder says which images there are: reference and the URL of the archive, JSON. It stands for a registry.
const IMAGES: &str = "images.json";
/// Where the host writes that the container has begun, and with which code it ended.
const FOLDER: &str = "var/lib/cloud";
/// How often it is looked at.
const TICK: Duration = Duration::from_millis(200);

/// The script of a machine that runs one container, called `name`.
///
/// # Errors
/// In words, when no image has this reference, or a word cannot be one for the shell.
pub fn script(cluster: &Path, name: &str, container: &Container) -> Result<String, String> {
    let list = fs::read_to_string(cluster.join(IMAGES)).unwrap_or_default();
    let images: BTreeMap<String, String> = serde_json::from_str(&list).unwrap_or_default();
    let url = images.get(&container.image).ok_or_else(|| format!("no such image: {}", container.image))?;
    let words = |all: Vec<String>| -> Result<String, String> {
        shlex::try_join(all.iter().map(String::as_str)).map_err(|_| "a word of it has a NUL".to_owned())
    };
    let environment = container.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(format!(
        "#!/bin/bash\nIMAGE={} URL={} NAME={}\nENVIRONMENT=({})\nARGUMENTS=({})\n{BODY}",
        words(vec![container.image.clone()])?,
        words(vec![url.clone()])?,
        words(vec![name.to_owned()])?,
        words(environment)?,
        words(container.arguments.clone())?,
    ))
}

/// Reports that the container runs, and its end, as long as it is `wanted`.
pub fn watch(machine: &Machine, reporter: &Reporter, wanted: impl Fn() -> bool) {
    let folder = machine.disk().join(FOLDER);
    let mut is_running = false;
    while wanted() {
        if let Ok(code) = fs::read_to_string(folder.join("exit")) {
            reporter.running(Some(machine.address.into()));
            reporter.exited(code.trim().parse().unwrap_or(1));
            return;
        }
        if !is_running && folder.join("started").exists() {
            is_running = true;
            reporter.running(Some(machine.address.into()));
        }
        if !machine.is_running() {
            reporter.failed("its host is off");
            return;
        }
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_container_is_run_with_the_arguments_and_environment_it_was_ordered_with() {
        let dir = std::env::temp_dir().join(format!("cooperator-container-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(IMAGES), r#"{"trainer:1": "http://mirror/image"}"#).unwrap();
        let container = Container {
            image: "trainer:1".into(),
            arguments: vec!["/bin/train".into(), "it's; $(touch /tmp/x)".into()],
            environment: vec![("TOKEN".into(), "a b'c\n$d".into())],
        };
        let script = script(&dir, "vast-1", &container).unwrap();
        let head = script.split("# A host").next().unwrap();
        let shown = r#"printf '%s|' "$IMAGE" "$URL" "$NAME" "${ENVIRONMENT[@]}" "${ARGUMENTS[@]}""#;
        let output = Command::new("bash").arg("-c").arg(format!("{head}{shown}")).output().unwrap();
        let wanted = "trainer:1|http://mirror/image|vast-1|TOKEN=a b'c\n$d|/bin/train|it's; $(touch /tmp/x)|";
        assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
        let unknown = Container { image: "other:1".into(), ..container };
        assert_eq!(super::script(&dir, "vast-2", &unknown).unwrap_err(), "no such image: other:1");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_script_is_what_bash_can_read() {
        assert!(Command::new("bash").args(["-n", "-c", BODY]).status().unwrap().success());
    }
}
