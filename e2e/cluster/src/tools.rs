//! The programs the cluster is made of, built from source once and kept by version in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::command::{self, command};
use crate::files;
use crate::paths;
use crate::progress::Progress;

/// How a tool is built.
#[derive(Debug, Clone, Copy)]
enum Recipe {
    /// From a Go module of ours, below `e2e/kubernetes`, that pins it and all it needs.
    GoModule { folder: &'static str, packages: &'static [&'static str], ldflags: &'static str },
    /// By `go install` of a module that builds by itself.
    GoInstall { package: &'static str },
    /// By `cargo install` of a crate, with its own lock file.
    Cargo { krate: &'static str, features: &'static str },
}

/// One thing to build: it yields one or more programs.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Its name, as people know it.
    pub name: &'static str,
    /// Its exact version, without a `v`.
    pub version: &'static str,
    /// The programs it yields.
    pub programs: &'static [&'static str],
    /// What building it takes on two cores, for the progress line.
    expected: Duration,
    recipe: Recipe,
}

/// Kubernetes: 1.34, because newer kubelets refuse cgroup v1 unless told otherwise.
pub const KUBERNETES: Tool = Tool {
    name: "kubernetes",
    version: "1.34.4",
    programs: &[
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    ],
    expected: Duration::from_secs(390),
    recipe: Recipe::GoModule {
        folder: "kubernetes",
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kubelet",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kubectl",
        ],
        ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.4 \
                  -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34 \
                  -X k8s.io/client-go/pkg/version.gitVersion=v1.34.4",
    },
};

/// etcd, where kube-apiserver keeps its objects.
pub const ETCD: Tool = Tool {
    name: "etcd",
    version: "3.6.16",
    programs: &["etcd"],
    expected: Duration::from_secs(60),
    recipe: Recipe::GoModule { folder: "etcd", packages: &["go.etcd.io/etcd/server/v3"], ldflags: "-s -w" },
};

/// CoreDNS, the DNS server of the cluster.
pub const COREDNS: Tool = Tool {
    name: "coredns",
    version: "1.15.0",
    programs: &["coredns"],
    expected: Duration::from_secs(180),
    recipe: Recipe::GoModule {
        folder: "coredns",
        packages: &["github.com/coredns/coredns"],
        ldflags: "-s -w",
    },
};

/// Helm, which installs the chart.
pub const HELM: Tool = Tool {
    name: "helm",
    version: "3.19.0",
    programs: &["helm"],
    expected: Duration::from_secs(120),
    recipe: Recipe::GoInstall { package: "helm.sh/helm/v3/cmd/helm" },
};

/// Garage, the object storage.
pub const GARAGE: Tool = Tool {
    name: "garage",
    version: "2.5.0",
    programs: &["garage"],
    expected: Duration::from_secs(450),
    recipe: Recipe::Cargo { krate: "garage", features: "bundled-libs,lmdb,sqlite" },
};

/// cargo-deny, which looks at licences, sources and known vulnerabilities. No part of a cluster.
pub const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    programs: &["cargo-deny"],
    expected: Duration::from_secs(300),
    recipe: Recipe::Cargo { krate: "cargo-deny", features: "" },
};

/// cargo-auditable, which writes a program's crates into it, where scanners of images look for them.
pub const CARGO_AUDITABLE: Tool = Tool {
    name: "cargo-auditable",
    version: "0.7.7",
    programs: &["cargo-auditable"],
    expected: Duration::from_secs(60),
    recipe: Recipe::Cargo { krate: "cargo-auditable", features: "" },
};

/// Syft, which writes down what an image consists of.
pub const SYFT: Tool = Tool {
    name: "syft",
    version: "1.57.1",
    programs: &["syft"],
    expected: Duration::from_secs(240),
    recipe: Recipe::GoInstall { package: "github.com/anchore/syft/cmd/syft" },
};

/// Toxiproxy, a TCP proxy that makes networks bad. Faults of the network are tested with it; no cluster needs it.
pub const TOXIPROXY: Tool = Tool {
    name: "toxiproxy",
    version: "2.12.0",
    programs: &["toxiproxy"],
    expected: Duration::from_secs(20),
    recipe: Recipe::GoModule {
        folder: "toxiproxy",
        packages: &["github.com/Shopify/toxiproxy/v2/cmd/server"],
        ldflags: "-s -w",
    },
};

/// What a cluster is made of, the longest first.
pub const ALL: [Tool; 5] = [GARAGE, KUBERNETES, COREDNS, HELM, ETCD];

/// A tool that could not be built or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A build failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// The cache could not be read or written.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A build ended well without the program it is for.
    #[error("{tool} was built, yet {} is not there; remove {} and try again", program.display(), folder.display())]
    Missing {
        /// The tool.
        tool: &'static str,
        /// The program it should have yielded.
        program: PathBuf,
        /// The folder it was built into.
        folder: PathBuf,
    },
}

impl Tool {
    /// The folder of its programs, whether built or not: `<cache>/bin/<name>-<version>`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        paths::cache().join("bin").join(self.id())
    }

    /// Where a program of this tool lies once it is built.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Whether the cache has it. A build is moved to its place only when it is whole.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.programs.iter().all(|name| self.program(name).is_file())
    }

    fn id(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Builds it into a scratch folder and moves that to its place.
    fn build(&self) -> Result<(), Error> {
        let scratch = paths::cache().join("tmp").join(self.id());
        files::remove(&scratch)?;
        let out = scratch.join("out");
        files::create_dir(&out)?;
        let log = paths::cache().join("logs").join(format!("{}.log", self.id()));
        command::run(
            &format!("building {} {}", self.name, self.version),
            &mut self.recipe(&scratch, &out),
            &log,
        )?;
        let built = match self.recipe {
            Recipe::Cargo { .. } => out.join("bin"),
            _ => out,
        };
        for name in self.programs {
            let program = built.join(name);
            if !program.is_file() {
                return Err(Error::Missing { tool: self.name, program, folder: scratch });
            }
        }
        let place = self.folder();
        files::create_dir(&paths::cache().join("bin"))?;
        files::remove(&place)?;
        fs::rename(&built, &place).map_err(files::at("move a build to", &place))?;
        Ok(files::remove(&scratch)?)
    }

    fn recipe(&self, scratch: &Path, out: &Path) -> Command {
        match self.recipe {
            Recipe::GoModule { folder, packages, ldflags } => {
                let mut go = command("go", ["build", "-trimpath", "-ldflags", ldflags, "-o"]);
                // One package makes a file of the tool's name, several make a folder of programs.
                go.arg(if packages.len() == 1 { out.join(self.name) } else { out.join("") });
                go.args(packages).current_dir(paths::workspace().join("e2e/kubernetes").join(folder));
                go.env("CGO_ENABLED", "0");
                go
            }
            Recipe::GoInstall { package } => {
                let mut go = command("go", ["install", "-trimpath", "-ldflags", "-s -w"]);
                // Outside of any module, so that no go.mod of ours has a say.
                go.arg(format!("{package}@v{}", self.version)).current_dir(scratch);
                go.env("CGO_ENABLED", "0").env("GOBIN", out);
                go
            }
            Recipe::Cargo { krate, features } => {
                let mut cargo = command::cargo(["install", krate, "--version", self.version, "--locked"]);
                cargo.args(["--no-default-features", "--features", features, "--root"]).arg(out);
                // A build folder of its own, removed afterwards; outside the checkout, whose profile is not Garage's.
                let target = scratch.join("target");
                cargo
                    .current_dir(scratch)
                    .env("CARGO_TARGET_DIR", &target)
                    .env("CARGO_BUILD_BUILD_DIR", target);
                cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
                // What serves one machine's tests need not be fast; a first run should be.
                cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
                cargo
            }
        }
    }
}

/// A `kubectl` with this kubeconfig.
#[must_use]
pub fn kubectl(kubeconfig: &Path) -> Command {
    client(KUBERNETES.program("kubectl"), kubeconfig)
}

/// A `helm` with this kubeconfig.
#[must_use]
pub fn helm(kubeconfig: &Path) -> Command {
    client(HELM.program("helm"), kubeconfig)
}

/// Nothing of the user's own configuration has a say, and nothing is left in the user's caches: a `kubectl get coop` of
/// theirs must not remember the cluster as it was before our kinds were installed.
fn client(program: PathBuf, kubeconfig: &Path) -> Command {
    let mut client = command(program, ["--kubeconfig"]);
    client.arg(kubeconfig);
    for (variable, folder) in [
        ("KUBECACHEDIR", "discovery"),
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_DATA_HOME", "data"),
    ] {
        client.env(variable, paths::cache().join("clients").join(folder));
    }
    client
}

/// Builds those of `tools` that the cache lacks, beside each other; the Go toolchain and cargo share the
/// cores among themselves. A second call, from this process or another, waits for the first.
///
/// # Errors
/// The first build that failed, after all have ended.
pub fn ensure(tools: &[Tool], progress: &Progress) -> Result<(), Error> {
    if tools.iter().all(Tool::is_built) {
        return Ok(());
    }
    files::create_dir(&paths::cache())?;
    let path = paths::cache().join("tools.lock");
    let lock = fs::File::create(&path).map_err(files::at("create", &path))?;
    lock.lock().map_err(files::at("lock", &path))?;
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !tool.is_built()).collect();
    let first_error = Mutex::new(None);
    thread::scope(|scope| {
        for tool in missing {
            let first_error = &first_error;
            scope.spawn(move || {
                let what = format!("Building {} {}", tool.name, tool.version);
                if let Err(error) = progress.during(&what, Some(tool.expected), || tool.build()) {
                    first_error
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .get_or_insert(error);
                }
            });
        }
    });
    match first_error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_folder_of_its_own_by_version() {
        let all = || ALL.iter().chain([&CARGO_DENY, &CARGO_AUDITABLE, &SYFT, &TOXIPROXY]);
        let folders: std::collections::HashSet<_> = all().map(Tool::folder).collect();
        assert_eq!(folders.len(), all().count());
        assert!(ETCD.program("etcd").ends_with("cooperator/bin/etcd-3.6.16/etcd"));
    }

    #[test]
    fn every_go_module_lies_in_the_checkout() {
        for tool in ALL.into_iter().chain([TOXIPROXY]) {
            if let Recipe::GoModule { folder, packages, .. } = tool.recipe {
                let path = paths::workspace().join("e2e/kubernetes").join(folder).join("go.mod");
                let text = fs::read_to_string(&path).unwrap();
                assert!(
                    text.contains(&format!("v{}", tool.version)),
                    "{} pins another version",
                    path.display()
                );
                assert!(!packages.is_empty());
            }
        }
    }
}
