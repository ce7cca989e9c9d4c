use std::path::PathBuf;

use cooperator_cluster::command::{command, output, run};
use cooperator_cluster::{Progress, paths};
use cooperator_story::ask::Gateway;
use cooperator_story::{PRESIDENTS, settle};
use serde_json::Value;

use crate::cluster::{connect, told};

/// A folder with the official client and what it stands on, filled once a version. Only pip is needed, as for the
/// story's own inputs: Debian's Python has no `venv`.
fn client() -> PathBuf {
    let requirements = paths::workspace().join("e2e/openai/requirements.txt");
    let version = std::fs::read_to_string(&requirements).unwrap().trim().replace("==", "-");
    let folder = paths::cache().join("python-packages").join(version);
    if !folder.join("ready").exists() {
        let log = paths::cache().join("logs/openai-client.log");
        let mut pip = command("python3", ["-m", "pip", "install", "--quiet", "--upgrade", "--target"]);
        run("pip install", pip.arg(&folder).arg("--requirement").arg(&requirements), &log).unwrap();
        std::fs::write(folder.join("ready"), "").unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn the_official_client_works_whole_and_streamed_and_the_bill_counts_what_the_server_counted() {
    told().await;
    let cluster = connect().await;
    let gateway = Gateway::open(&cluster).await.unwrap();
    let mut ask = command("python3", ["ask.py", PRESIDENTS]);
    ask.current_dir(paths::workspace().join("e2e/openai")).env("PYTHONPATH", client());
    ask.env("OPENAI_BASE_URL", format!("{}/v1", gateway.url)).env("OPENAI_API_KEY", &gateway.key);
    let printed = tokio::task::block_in_place(|| output("ask.py", &mut ask)).unwrap();
    eprintln!("the official client: {printed}");
    let seen: Value = serde_json::from_str(&printed).unwrap();

    assert_eq!(seen["models"], serde_json::json!([PRESIDENTS]));
    assert_eq!(seen["refusals"], serde_json::json!({"wrong_key": 401, "unknown_model": 404}));
    assert_eq!(seen["whole"]["text"], seen["streamed"]["text"], "temperature 0: the same answer either way");
    assert!(seen["streamed"]["chunks"].as_u64().unwrap() > 5);
    assert_eq!(seen["completion"]["finish_reason"], "length");

    let calls = ["whole", "streamed", "completion"];
    let counted = |field: &str| calls.iter().map(|call| seen[call][field].as_u64().unwrap()).sum::<u64>();
    let statement = settle::close(&cluster, &Progress::new()).await.unwrap();
    let line = &statement.revenue[..];
    assert_eq!(line.len(), 1, "{line:?}");
    assert_eq!(
        (line[0].requests, line[0].input_tokens, line[0].output_tokens),
        (3, counted("prompt_tokens"), counted("completion_tokens"))
    );
}
