use cooperator_contract::layout;
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::run::{Gate, GateOperator, Metric, Schedule, TrainTask};
use cooperator_models::config::LlamaConfig;
use cooperator_models::lora::{LoraAdapter, LoraConfig};

use crate::world::{Inputs, UID, World, checkpoint, digest, failure, read_fixture, training};

fn gate(metric: Metric, operator: GateOperator, value: &str) -> Gate {
    Gate { metric, operator, value: value.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_fails_is_written_down_and_the_adapter_is_published_all_the_same() {
    let (world, inputs) = World::ready().await;
    let mut task = training(inputs);
    task.gates = vec![
        gate(Metric::HeldOutLossDrop, GateOperator::GreaterThanOrEqual, "100"),
        gate(Metric::HeldOutLoss, GateOperator::LessThanOrEqual, "100"),
    ];
    let adapter = digest(world.train(1, task.clone()).await);
    assert!(world.keys("adapters/").contains(&layout::adapter(&adapter, "manifest.json")));
    let evaluation = world.evaluation(&adapter);
    let verdicts: Vec<_> = evaluation.gates.iter().map(|result| (&result.gate, result.passed)).collect();
    assert_eq!(verdicts, [(&task.gates[0], false), (&task.gates[1], true)]);
    assert_eq!(evaluation.gates[1].measured, evaluation.adapted.loss);
    let card = world.bytes(&layout::adapter(&adapter, "README.md"));
    assert!(String::from_utf8_lossy(&card).contains("| failed |"));
}

/// Each step multiplies the weights by about -10^4: they overflow after a few.
fn exploding(inputs: Inputs, steps: u64) -> TrainTask {
    let mut task = training(inputs);
    task.checkpoint_every_steps = 1;
    task.training.learning_rate = "1000".to_owned();
    task.training.weight_decay = "10".to_owned();
    task.training.schedule = Schedule::Constant;
    task.training.warmup_steps = 0;
    task.training.max_steps = steps;
    task
}

/// At which step a run of so many fails.
async fn broken_at(world: &World, attempt: u32, task: TrainTask) -> u64 {
    let message = failure(world.train(attempt, task).await, FailureReason::LossNotFinite);
    let step = message.strip_prefix("step ").and_then(|rest| rest.split_once(':'));
    step.and_then(|(step, _)| step.parse().ok()).unwrap_or_else(|| panic!("{message}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_is_not_finite_ends_the_training_and_the_last_good_checkpoint_stays() {
    let (world, inputs) = World::ready().await;
    let task = exploding(inputs, 100);
    let step = broken_at(&world, 1, task.clone()).await;
    assert_eq!(world.keys("adapters/"), [""; 0]);
    let kept: Vec<u64> = world.checkpoints().iter().map(|manifest| manifest.step).collect();
    assert_eq!(kept, [step - 2, step - 1], "failed at step {step}");
    let config = LlamaConfig::from_json(&read_fixture("tied", "config.json")).unwrap();
    for manifest in world.checkpoints() {
        let lora = LoraConfig {
            rank: 4,
            alpha: 8.0,
            dropout: 0.1,
            target_modules: task.lora.target_modules.clone(),
        };
        let bytes = world.bytes(&layout::checkpoint_blob(UID, &manifest.adapter));
        // Refuses values that are not finite.
        LoraAdapter::from_safetensors(&config, lora, &bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_its_last_step_has_broken_is_not_published() {
    let (world, inputs) = World::ready().await;
    let step = broken_at(&world, 1, exploding(inputs, 100)).await;
    // One step less: no step has a loss that tells what the last one did.
    let (world, inputs) = World::ready().await;
    let message = failure(world.train(1, exploding(inputs, step - 1)).await, FailureReason::LossNotFinite);
    assert!(message.contains("held-out"), "{message}");
    assert_eq!(world.keys("adapters/"), [""; 0]);
    assert!(world.was_written(&checkpoint(1, step - 1)));
}
