//! The driver of members' machines against OpenSSH's own server. Needs root, for namespaces of its own:
//! `cargo test --workspace --test openssh -- --ignored`.
#![allow(clippy::unwrap_used)]

mod machine;

use std::future::Future;
use std::time::{Duration, Instant};

use cooperator_cluster::command::output;
use cooperator_cluster::files;
use cooperator_core::market::{CapacityType, Granularity, Offer, Shape, Terms};
use cooperator_providers::driver::PATIENCE;
use cooperator_providers::{
    Deleted, Driver as _, Error, Instance, InstanceName, Key, Order, Payload, Query, Ssh, SshMachine, State,
    Tenant,
};
use machine::{Machine, OURS, public, secret};

const TENANT: &str = "6f1c2a700b1d";
const SLEEPS: &str = "#!/bin/sh\necho begun >> /opt/begun; sleep 600 &\nsleep 600\n";

fn tenant() -> Tenant {
    Tenant::of(TENANT).unwrap()
}

/// The name of the instance of a claim.
fn name(claim: u8) -> InstanceName {
    tenant().name(&format!("0a1b2c3d-4e5f-6071-8293-0000000000{claim:02x}")).unwrap()
}

fn order(name: InstanceName) -> Order {
    let offer = Offer {
        provider: String::new(),
        id: "attic".into(),
        host: None,
        region: String::new(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: 8000,
        memory_mib: 16384,
        disk_gib: 100,
        gpus: None,
        gigaflops: None,
        reliability: None,
        until: None,
        terms: Terms { granularity: Granularity::Second, ..Terms::default() },
    };
    Order { name, offer, disk_gib: 1, bid: None, payload: Payload::UserData(SLEEPS.to_owned()) }
}

fn with(spec: SshMachine, key: &str) -> Ssh {
    Ssh::new(vec![spec], &Key::new(key)).unwrap()
}

fn driver(attic: &Machine) -> Ssh {
    with(attic.spec(), &secret(OURS))
}

async fn taken(ssh: &Ssh) -> Vec<InstanceName> {
    ssh.list(&tenant()).await.unwrap().into_iter().map(|instance| instance.name).collect()
}

/// The machine's instance once it is in this state.
async fn becomes(ssh: &Ssh, made: &Instance, state: State) -> Instance {
    let began = Instant::now();
    loop {
        let seen = ssh.get(&made.id).await.unwrap().unwrap();
        if seen.state == state {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{seen:?} does not become {state:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Why nobody is let in.
async fn why(ssh: &Ssh) -> Error {
    ssh.offers(&Query::default()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_machine_is_ordered_found_and_ended_and_what_it_runs_outlives_the_server() {
    let mut attic = Machine::start();
    let ssh = driver(&attic);
    assert_eq!(ssh.offers(&Query::default()).await.unwrap().len(), 1);
    let made = ssh.create(&order(name(1))).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    assert_eq!(taken(&ssh).await, [name(1)]);
    assert!(ssh.offers(&Query::default()).await.unwrap().is_empty());
    assert_eq!(ssh.create(&order(name(2))).await.unwrap_err().kind(), "NoCapacity");
    attic.kill_server();
    attic.run_server();
    assert_eq!(ssh.get(&made.id).await.unwrap().unwrap().state, State::Running);
    assert!(attic.processes(&name(1)) >= 2);
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
    assert_eq!(attic.processes(&name(1)), 0);
    assert!(taken(&ssh).await.is_empty());
    let left: Vec<_> = std::fs::read_dir(attic.path("var/lib/cooperator")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn of_two_who_want_one_machine_at_once_one_has_it() {
    let attic = Machine::start();
    let (one, other) = (driver(&attic), driver(&attic));
    let orders = [order(name(1)), order(name(2))];
    let answers = tokio::join!(one.create(&orders[0]), other.create(&orders[1]));
    let refused = match answers {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        both => panic!("{both:?}"),
    };
    assert_eq!(refused.kind(), "NoCapacity");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_machine_that_shows_another_host_key_is_not_logged_in_to() {
    let attic = Machine::start();
    let ssh = with(SshMachine { host_key: public(8), ..attic.spec() }, &secret(OURS));
    let error = ssh.create(&order(name(1))).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_happened()), ("HostKey", false));
    assert!(!attic.log().contains("Accepted") && !attic.path("var/lib/cooperator").exists());
    // It is what the real tool says that has to be pinned.
    let port = attic.spec().port.to_string();
    let mut scan = attic.inside("ssh-keyscan");
    let seen = output("ssh-keyscan", scan.args(["-t", "ed25519", "-p", &port, "127.0.0.1"])).unwrap();
    let (_, host_key) = seen.trim().split_once(' ').unwrap();
    assert_eq!(host_key, attic.spec().host_key);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_machine_without_a_host_key_that_can_be_pinned_says_so() {
    let mut attic = Machine::start();
    let mut keygen = attic.inside("ssh-keygen");
    let ecdsa = keygen.args(["-q", "-t", "ecdsa", "-N", "", "-f", "/etc/ssh/another_key"]);
    output("ssh-keygen", ecdsa).unwrap();
    std::fs::rename(attic.path("etc/ssh/another_key"), attic.path("etc/ssh/host_key")).unwrap();
    attic.kill_server();
    attic.run_server();
    let error = why(&driver(&attic)).await;
    assert_eq!(error.kind(), "HostKey", "{error}");
    assert!(error.to_string().contains("ed25519"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_machine_lets_us_in_once_it_has_the_key_that_the_error_names() {
    let attic = Machine::start();
    let ssh = with(attic.spec(), &secret(9));
    let error = why(&ssh).await;
    assert_eq!(error.kind(), "Unauthorized");
    let text = error.to_string();
    let named = text.split('`').find(|word| word.starts_with("ssh-ed25519 ")).unwrap();
    files::write_secret(&attic.path("root/.ssh/authorized_keys"), format!("{named}\n")).unwrap();
    assert_eq!(ssh.offers(&Query::default()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn keys_are_taken_as_the_real_tool_makes_them() {
    let attic = Machine::start();
    for (kind, phrase, refused) in [
        ("ed25519", "", None),
        ("ecdsa", "", None),
        ("rsa", "", Some("ed25519")),
        ("ed25519", "word", Some("passphrase")),
    ] {
        let key = format!("/opt/{kind}{phrase}");
        let mut keygen = attic.inside("ssh-keygen");
        output("ssh-keygen", keygen.args(["-q", "-t", kind, "-N", phrase, "-f", &key])).unwrap();
        let read = |path: &str| files::read(&attic.path(path.trim_start_matches('/'))).unwrap();
        files::write_secret(&attic.path("root/.ssh/authorized_keys"), read(&format!("{key}.pub"))).unwrap();
        // As it is read from a Secret.
        match (Ssh::new(vec![attic.spec()], &Key::new(read(&key).trim())), refused) {
            (Ok(ssh), None) => assert_eq!(ssh.offers(&Query::default()).await.unwrap().len(), 1, "{kind}"),
            (Err(error), Some(word)) => assert!(error.to_string().contains(word), "{error}"),
            (other, _) => panic!("{kind} {phrase}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_user_who_is_refused_or_may_not_become_root_or_may_run_nothing_is_named() {
    let attic = Machine::start_with("DenyUsers denied\n");
    let passwd = attic.path("etc/passwd");
    let users = files::read(&passwd).unwrap();
    let more = "coop:x:1007:1007::/root/coop:/bin/bash\ndenied:x:1008:1008::/root/coop:/bin/bash\n\
                shut:x:1009:1009::/root/coop:/usr/sbin/nologin\n";
    files::write(&passwd, users + more).unwrap();
    // They live under root's home only for want of another disk: whoever is let in looks there.
    let open = "chmod 711 /root && cp -r /root/.ssh /root/coop-ssh && mkdir /root/coop && mv /root/coop-ssh /root/coop/.ssh \
                && chmod 755 /root/coop /root/coop/.ssh && chmod 644 /root/coop/.ssh/authorized_keys";
    output("sh", attic.inside("sh").args(["-c", open])).unwrap();
    for (user, kind, word) in [
        ("denied", "Unauthorized", "authorized_keys"),
        ("nobody-at-all", "Unauthorized", "authorized_keys"),
        ("coop", "Refused", "sudo"),
        ("shut", "Refused", "not available"),
    ] {
        let ssh = with(SshMachine { user: user.to_owned(), ..attic.spec() }, &secret(OURS));
        for _ in 0..5 {
            let error = why(&ssh).await;
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.contains(&format!("`{user}`")) && text.contains(word), "{text}");
        }
        let error = ssh.create(&order(name(1))).await.unwrap_err();
        assert_eq!((error.kind(), error.may_have_happened()), (kind, false), "{error}");
    }
    assert!(!attic.path("var/lib/cooperator").exists());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_key_that_may_run_one_command_only_is_refused_in_words() {
    let attic = Machine::start();
    let keys = format!("command=\"/bin/false\",restrict {}\n", public(OURS));
    files::write_secret(&attic.path("root/.ssh/authorized_keys"), keys).unwrap();
    let ssh = driver(&attic);
    for _ in 0..20 {
        assert_eq!(why(&ssh).await.kind(), "Refused");
        assert_eq!(ssh.create(&order(name(1))).await.unwrap_err().kind(), "Refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_a_login_shell_says_is_no_answer() {
    let attic = Machine::start();
    files::write(&attic.path("root/.bashrc"), "echo Welcome; echo free; echo 'cooperator: bye' >&2\n")
        .unwrap();
    let ssh = driver(&attic);
    let made = ssh.create(&order(name(1))).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
}

/// Does something in the midst of which, when the machine is at this program, its server dies; then it runs again.
async fn dies_at<T>(
    attic: &mut Machine,
    program: &str,
    what: impl Future<Output = Result<T, Error>>,
) -> Error {
    attic.hold(program);
    let (lost, ()) = tokio::join!(what, attic.dies_at(program));
    let Err(error) = lost else { panic!("it was answered") };
    assert!(error.may_have_happened(), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_order_whose_server_dies_before_the_machine_is_taken_never_takes_it() {
    let mut attic = Machine::start();
    let ssh = driver(&attic);
    let first = order(name(1));
    dies_at(&mut attic, "sync", ssh.create(&first)).await;
    assert!(taken(&ssh).await.is_empty());
    attic.release("sync");
    machine::until("nothing of it is left", || {
        std::fs::read_dir(attic.path("var/lib/cooperator")).unwrap().count() == 0
    });
    assert!(taken(&ssh).await.is_empty());
    let made = ssh.create(&order(name(2))).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    assert_eq!((attic.processes(&name(1)), attic.begun()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_order_whose_server_dies_once_the_machine_is_taken_is_found_and_runs_once() {
    let mut attic = Machine::start();
    let ssh = driver(&attic);
    let first = order(name(1));
    dies_at(&mut attic, "mv", ssh.create(&first)).await;
    assert_eq!(taken(&ssh).await, [name(1)]);
    let again = ssh.create(&first).await.unwrap();
    assert_eq!(again.state, State::Pending);
    attic.release("mv");
    becomes(&ssh, &again, State::Running).await;
    assert_eq!(ssh.create(&first).await.unwrap().id, again.id);
    machine::until("its script has begun", || attic.begun() == 1);
    assert_eq!(ssh.delete(&again.id).await.unwrap(), Deleted::Gone { at: None });
    assert_eq!(attic.begun(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_end_in_whose_midst_the_server_dies_is_gone_on_with() {
    let mut attic = Machine::start();
    let ssh = driver(&attic);
    let made = ssh.create(&order(name(1))).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    dies_at(&mut attic, "find", ssh.delete(&made.id)).await;
    assert_eq!(ssh.get(&made.id).await.unwrap().unwrap().state, State::Ending);
    assert_eq!(ssh.create(&order(name(2))).await.unwrap_err().kind(), "NoCapacity");
    attic.release("find");
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
    assert_eq!(attic.processes(&name(1)), 0);
    let next = ssh.create(&order(name(2))).await.unwrap();
    becomes(&ssh, &next, State::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_machine_that_hangs_is_waited_for_no_longer_than_is_promised() {
    let attic = Machine::start();
    let ssh = driver(&attic);
    let began = Instant::now();
    attic.server_hears("STOP");
    let error = ssh.create(&order(name(1))).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_happened()), ("Unavailable", false), "{error}");
    attic.server_hears("CONT");
    attic.hold("sync");
    let error = ssh.create(&order(name(1))).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert!(began.elapsed() < 2 * PATIENCE);
    attic.release("sync");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_end_is_no_power_off_of_the_machine_and_leaves_nothing_for_one() {
    let attic = Machine::start();
    let ssh = driver(&attic);
    let made = ssh.create(&order(name(1))).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    // As the script of a node leaves it, with systemd and without.
    let power_off = "mkdir -p /run/systemd/system /opt/cooperator/bin /etc/rc0.d
        printf '#!/bin/sh\n: > /opt/powered-off\nsleep 60\n' > /opt/cooperator/bin/power-off
        chmod 755 /opt/cooperator/bin/power-off
        printf '[Service]\nExecStop=/opt/cooperator/bin/power-off stop\n' > /etc/systemd/system/cooperator-power-off.service
        ln -s /opt/cooperator/bin/power-off /etc/rc0.d/K01cooperator";
    output("sh", attic.inside("sh").args(["-ec", power_off])).unwrap();
    attic.put("systemctl", include_str!("systemctl.sh"));
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
    assert!(!attic.path("opt/powered-off").exists());
    let left = output("find", attic.inside("find").args(["/etc", "/opt", "-name", "*cooperator*"])).unwrap();
    assert_eq!(left, "");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn of_folders_that_are_shared_an_end_takes_what_is_its_own() {
    let attic = Machine::start();
    let ssh = driver(&attic);
    let made = ssh.create(&order(name(1))).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    // As kubelet, containerd and the plugins leave it, and others of theirs.
    let used = "mkdir -p /var/log/containers /var/log/cooperator/pods /var/log/pods /var/lib/cni/results /run/containerd/s
        mkdir -p /var/lib/kubelet/device-plugins /run/cooperator/containerd/io.containerd.runtime.v2.task/k8s.io/abc
        cd /var/log
        touch cooperator/pods/0.log pods/0.log
        ln -s /var/log/cooperator/pods/0.log containers/ours.log
        ln -s /var/log/pods/0.log containers/theirs.log
        cd /var/lib
        touch cni/results/cooperator-1-eth0 cni/results/theirs-1-eth0 kubelet/device-plugins/kubelet.sock
        cd /run
        touch containerd/s/ours containerd/s/theirs
        printf unix:///run/containerd/s/ours > cooperator/containerd/io.containerd.runtime.v2.task/k8s.io/abc/address";
    output("sh", attic.inside("sh").args(["-ec", used])).unwrap();
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
    let shared = ["/var/log/containers", "/var/log/pods", "/var/lib", "/run", "!", "-type", "d"];
    let left = output("find", attic.inside("find").args(shared)).unwrap();
    let mut left: Vec<&str> = left.lines().collect();
    left.sort_unstable();
    let theirs = [
        "/run/containerd/s/theirs",
        "/var/lib/cni/results/theirs-1-eth0",
        "/var/log/containers/theirs.log",
        "/var/log/pods/0.log",
    ];
    assert_eq!(left, theirs);
}
