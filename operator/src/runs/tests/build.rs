use cooperator_contract::run::RunFile;

use super::{plan, site};
use crate::runs::build;
use crate::runs::plan::{Plan, Program, claim_of};
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
fn a_claim_is_read_from_its_uri_only() {
    assert_eq!(claim_of("pvc://weights/a/b").as_deref(), Some("weights"));
    assert_eq!(claim_of("s3://weights/a"), None);
    assert_eq!(claim_of("pvc:///a"), None);
}
