use cooperator_contract::run::RunFile;

use super::{plan, site};
use crate::runs::build;
use crate::runs::plan::{Plan, Program, StorageAccess, claim_of};
use crate::runs::token::Token;

#[test]
fn the_objects_of_an_attempt_are_these() {
    let file = plan().run_file(&site(), 2, Some("00-aa-bb-01".into()));
    insta::assert_yaml_snapshot!("job", build::job(&plan(), &site(), 2));
    insta::assert_yaml_snapshot!("config_map", build::config_map(&plan(), 2, &file).unwrap());
}

#[test]
fn a_run_file_is_read_back_and_holds_no_secret() {
    let file = plan().run_file(&site(), 2, None);
    let map = build::config_map(&plan(), 2, &file).unwrap();
    let text = &map.data.unwrap()["run.json"];
    assert_eq!(serde_json::from_str::<RunFile>(text).unwrap(), file);
    assert_eq!(
        file.progress_url.unwrap(),
        "http://operator:8080/v1/namespaces/presidents/basemodels/smollm/runs/uid-1/progress"
    );
    assert!(!text.contains("token"));
}

#[test]
fn a_token_is_in_its_secret_and_nowhere_else() {
    let token = Token::random().unwrap();
    let secret = build::secret(&plan(), 1, &token);
    assert_eq!(secret.string_data.unwrap()[build::TOKEN_KEY], token.reveal());
    let job = serde_json::to_string(&build::job(&plan(), &site(), 1)).unwrap();
    assert!(!job.contains(token.reveal()));
}

#[test]
fn a_settle_run_reports_nothing_and_is_of_the_operators_image() {
    let plan = Plan { program: Program::Settle, ..plan() };
    assert_eq!(plan.run_file(&site(), 1, None).progress_url, None);
    let job = serde_json::to_string(&build::job(&plan, &site(), 1)).unwrap();
    assert!(job.contains("operator:1") && !job.contains("COOPERATOR_RUN_TOKEN"));
}

#[test]
fn a_brokered_job_mounts_no_secret_but_its_run_token_and_no_claim() {
    let plan = Plan { storage: StorageAccess::Brokered, ..plan() };
    let job = build::job(&plan, &site(), 2);
    let pod = job.spec.unwrap().template.spec.unwrap();
    let variables = pod.containers[0].env.clone().unwrap();
    let secrets =
        variables.iter().filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref());
    let names: Vec<(&str, &str)> = secrets.map(|from| (from.name.as_str(), from.key.as_str())).collect();
    assert_eq!(names, [(plan.job(2).as_str(), build::TOKEN_KEY)]);
    assert!(pod.containers[0].env_from.is_none() && pod.image_pull_secrets.is_none());
    let volumes = pod.volumes.unwrap();
    assert!(volumes.iter().all(|volume| volume.secret.is_none() && volume.projected.is_none()));
    assert!(volumes.iter().all(|volume| volume.persistent_volume_claim.is_none()), "{volumes:?}");
    assert_eq!(pod.automount_service_account_token, Some(false));
}

#[test]
fn a_brokered_run_is_told_where_its_broker_is_and_any_other_run_file_is_as_it_was() {
    let brokered = Plan { storage: StorageAccess::Brokered, ..plan() }.run_file(&site(), 2, None);
    assert_eq!(
        brokered.storage_broker.as_ref().unwrap().url,
        "http://operator:8080/v1/namespaces/presidents/basemodels/smollm/runs/uid-1/storage"
    );
    let text = serde_json::to_string(&plan().run_file(&site(), 2, None)).unwrap();
    assert!(!text.contains("storageBroker"), "{text}");
    let read: RunFile = serde_json::from_str(&text).unwrap();
    assert_eq!(read, RunFile { storage_broker: None, ..brokered });
}

#[test]
fn a_claim_is_read_from_its_uri_only() {
    assert_eq!(claim_of("pvc://weights/a/b").as_deref(), Some("weights"));
    assert_eq!(claim_of("s3://weights/a"), None);
    assert_eq!(claim_of("pvc:///a"), None);
}
