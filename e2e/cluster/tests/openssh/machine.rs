//! A member's machine on which OpenSSH's own server runs: namespaces for processes and mounts, with a folder for a disk.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cooperator_cluster::command::{command, output};
use cooperator_cluster::sshd::{self, Settings, Sshd};
use cooperator_cluster::{Progress, files, ports};
use cooperator_providers::{InstanceName, OwnMachine, SshMachine};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use tempfile::TempDir;

const INIT: &str = include_str!("init.sh");
const HOLD: &str = include_str!("hold.sh");
const PATIENCE: Duration = Duration::from_secs(30);
/// The key that all machines of tests let in, and the one that they show.
pub const OURS: u8 = 1;
const HOST: u8 = 7;

/// A machine.
pub struct Machine {
    disk: TempDir,
    port: u16,
    /// `unshare`: the machine's first process is its child, and goes with it.
    outer: Child,
    /// The server, as it was started last.
    server: Option<Child>,
}

/// A private key of tests.
pub fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// The same as a Secret holds it.
pub fn secret(seed: u8) -> String {
    key(seed).to_openssh(LineEnding::LF).unwrap().to_string()
}

/// Its public part, as `authorized_keys` has it.
pub fn public(seed: u8) -> String {
    key(seed).public_key().to_openssh().unwrap()
}

impl Machine {
    /// One whose server runs.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, its server's configuration with these lines more.
    pub fn start_with(more: &str) -> Self {
        let disk = tempfile::tempdir().unwrap();
        // Whoever is let in goes through it.
        fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o755)).unwrap();
        output("copying /etc", command("cp", ["-a", "/etc"]).arg(disk.path())).unwrap();
        for folder in ["opt/before", "opt/hold", "root", "tmp", "var/lib"] {
            files::create_dir(&disk.path().join(folder)).unwrap();
        }
        let port = ports::free::<1>().unwrap()[0];
        let listen = format!("127.0.0.1:{port}");
        let (host_key, authorized_keys) = (secret(HOST), public(OURS));
        let settings =
            Settings { listen: &listen, host_key: &host_key, authorized_keys: &authorized_keys, more };
        Sshd::fetch(&Progress::new()).unwrap().put(disk.path(), &settings).unwrap();
        let mut unshare = command("unshare", ["--mount", "--propagation", "private", "--pid", "--fork"]);
        let init = format!("install_sshd() {{\n{}}}\n{INIT}", sshd::INSTALL);
        unshare.args(["--kill-child", "--mount-proc", "--", "bash", "-ec", &init, "bash"]).arg(disk.path());
        let outer = unshare.stdin(Stdio::null()).spawn().unwrap();
        let mut machine = Self { disk, port, outer, server: None };
        until("the machine is up", || machine.path("opt/up").exists());
        for program in ["find", "mv", "sync"] {
            machine.put(program, HOLD);
        }
        machine.run_server();
        machine
    }

    /// Puts a program before all others of its name.
    pub fn put(&self, program: &str, text: &str) {
        let path = self.path("opt/before").join(program);
        files::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Starts its server, which does not run.
    pub fn run_server(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("opt/log")).unwrap();
        let mut sshd = self.inside("sh");
        sshd.args(["-c", &format!("exec {}", sshd::RUN)]).stdin(Stdio::null()).stderr(log);
        self.server = Some(sshd.spawn().unwrap());
        until("the server answers", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Kills its server with all who are logged in, as a machine does that runs out of memory; what they run goes on.
    pub fn kill_server(&mut self) {
        self.server_hears("KILL");
        drop(self.server.take().unwrap().wait());
    }

    /// Sends all processes of its server a signal.
    pub fn server_hears(&self, signal: &str) {
        output("pkill", self.inside("pkill").args([&format!("-{signal}"), "-x", "sshd"])).unwrap();
    }

    /// What its server said.
    pub fn log(&self) -> String {
        files::read(&self.path("opt/log")).unwrap()
    }

    /// It as a Provider names it.
    pub fn spec(&self) -> SshMachine {
        SshMachine {
            machine: OwnMachine {
                name: "attic".to_owned(),
                cpu_millis: 8000,
                memory_mib: 16384,
                gpus: None,
                hourly: "0.05".parse().unwrap(),
                address: Some("127.0.0.1".parse().unwrap()),
            },
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "root".to_owned(),
            host_key: public(HOST),
        }
    }

    /// A file or folder of it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.disk.path().join(path)
    }

    /// A command that runs on it.
    pub fn inside(&self, program: &str) -> Command {
        let outer = self.outer.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
        let first = children.split_whitespace().next().unwrap();
        let mut nsenter = command("nsenter", ["--mount", "--pid", "--target", first, "--", program]);
        nsenter.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        nsenter
    }

    /// Whoever comes to this program waits there.
    pub fn hold(&self, program: &str) {
        files::write(&self.path("opt/hold").join(program), "").unwrap();
    }

    /// Waits until somebody does, kills the server, and starts it again.
    pub async fn dies_at(&mut self, program: &str) {
        let there = self.path("opt/hold").join(format!("{program}.there"));
        let began = Instant::now();
        while !there.exists() {
            assert!(began.elapsed() < PATIENCE, "nobody waits at {program}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kill_server();
        self.run_server();
    }

    /// Lets them go on.
    pub fn release(&self, program: &str) {
        files::remove(&self.path("opt/hold").join(program)).unwrap();
    }

    /// How often a script of a test has begun.
    pub fn begun(&self) -> usize {
        files::read(&self.path("opt/begun")).unwrap_or_default().lines().count()
    }

    /// Processes that run for an instance.
    pub fn processes(&self, name: &InstanceName) -> usize {
        let script = format!("grep -lzx COOPERATOR_INSTANCE={name} /proc/[0-9]*/environ 2>/dev/null | wc -l");
        output("grep", self.inside("sh").args(["-c", &script])).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.outer.kill());
        drop(self.outer.wait());
        // `nsenter` stops when what it runs is stopped, and goes on for nobody.
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
