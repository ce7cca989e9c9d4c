use cooperator_cli::statement;
use cooperator_core::money::Amount;

use crate::cluster::told;
use crate::rented::amount;

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_contribution_with_a_licence_the_policy_forbids_is_refused_and_the_others_are_counted() {
    let status = told().await.dataset.status.clone().unwrap();
    let hayes = status.contributions.iter().find(|row| row.name == "hayes-addresses").unwrap();
    assert_eq!(hayes.reason.as_deref(), Some("LicenseNotAllowed"));
    assert!(hayes.message.as_deref().unwrap().contains("CC-BY-NC-4.0"), "{:?}", hayes.message);
    let taken: Vec<i64> = status.contributions.iter().filter_map(|row| row.tokens).collect();
    assert_eq!(taken.iter().filter(|tokens| **tokens > 1000).count(), 4, "{taken:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn the_adapter_lowers_the_held_out_loss_by_a_tenth_of_a_nat() {
    let status = told().await.fine_tune.status.clone().unwrap();
    let evaluation = status.evaluation.unwrap();
    let loss = |text: &str| text.parse::<f64>().unwrap();
    let drop = loss(&evaluation.base.loss) - loss(&evaluation.adapted.loss);
    assert!(drop >= 0.10, "{evaluation:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn the_statement_splits_exactly_what_the_requests_earned() {
    let told = told().await;
    let statement = &told.statement;
    let metered: (u64, u64) = statement
        .revenue
        .iter()
        .fold((0, 0), |(input, output), line| (input + line.input_tokens, output + line.output_tokens));
    let answered: (u64, u64) = told
        .answers
        .iter()
        .fold((0, 0), |(input, output), answer| (input + answer.input_tokens, output + answer.output_tokens));
    assert_eq!(metered, answered, "every token is billed once");
    // 20 a million prompt tokens, 80 a million generated ones, as examples/presidents/deployment.yaml says.
    let earned = metered.0 * 20 + metered.1 * 80;
    let micro: Amount = "0.000001".parse().unwrap();
    assert_eq!(amount(&statement.gross), micro.times(i128::from(earned)).unwrap());
    assert_eq!(statement::sum(statement).unwrap(), amount(&statement.gross));
    // Where machines were rented before, what they cost is recovered first.
    let is_left = amount(&statement.recovered) < amount(&statement.gross);
    for payment in &statement.payments {
        let is_paid = amount(&payment.amount) > Amount::ZERO;
        assert!(is_paid == is_left || payment.member == "hayes", "{payment:?}");
    }
}
