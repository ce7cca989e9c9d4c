//! Pure: what a Deployment earned in the periods that are closed.

use cooperator_api::common::Money;
use cooperator_api::deployment::UsageStatus;
use cooperator_api::settlement::{RevenueLine, Settlement};
use cooperator_core::money::{Amount, MoneyError};
use kube::ResourceExt as _;

/// Usage and revenue of the Deployment of this name, over all Settlements that have a line of it; none without one.
/// Revenue counts those in the currency of the newest: sums of different currencies would mean nothing.
///
/// # Errors
/// When an amount in a Settlement is no decimal, or the sum is out of range.
pub fn earned(name: &str, settlements: &[Settlement]) -> Result<Option<(UsageStatus, Money)>, MoneyError> {
    let mut closed: Vec<(&Settlement, Vec<&RevenueLine>)> = settlements
        .iter()
        .map(|one| (one, lines(one, name)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    // RFC 3339 in UTC with whole seconds sorts as text.
    closed.sort_by(|(one, _), (other, _)| one.spec.period.end.cmp(&other.spec.period.end));
    let Some((newest, _)) = closed.last() else { return Ok(None) };
    let mut usage = UsageStatus { through: newest.name_any(), ..UsageStatus::default() };
    let mut revenue = Amount::ZERO;
    for (settlement, lines) in &closed {
        for line in lines {
            usage.requests += line.requests;
            usage.input_tokens += line.input_tokens;
            usage.output_tokens += line.output_tokens;
            if settlement.spec.currency == newest.spec.currency {
                revenue = revenue.plus(line.amount.parse()?)?;
            }
        }
    }
    Ok(Some((usage, Money { amount: revenue.to_string(), currency: newest.spec.currency.clone() })))
}

fn lines<'a>(settlement: &'a Settlement, name: &str) -> Vec<&'a RevenueLine> {
    let all = settlement.spec.revenue.iter().chain(&settlement.spec.corrections);
    all.filter(|line| line.deployment == name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settlement(name: &str, end: &str, currency: &str, revenue: Value) -> Settlement {
        serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1", "kind": "Settlement", "metadata": {"name": name},
            "spec": {
                "collectiveRef": {"name": "works"}, "period": {"name": name, "start": end, "end": end},
                "currency": currency, "decimals": 2, "gross": "0", "revenue": revenue, "corrections": [],
                "costs": [], "recovered": "0", "reserve": "0", "payments": [], "suspense": "0",
                "usage": {"rows": 0, "rootDigest": "x"}, "statement": {"storageUri": "s3://x", "digest": "x"},
            },
        }))
        .unwrap()
    }

    fn line(deployment: &str, amount: &str) -> Value {
        json!({"deployment": deployment, "requests": 2, "inputTokens": 10, "outputTokens": 5, "amount": amount})
    }

    #[test]
    fn lines_of_all_closed_periods_add_up_and_the_newest_is_named() {
        let settlements = [
            settlement(
                "b",
                "2026-11-01T00:00:00Z",
                "USD",
                json!([line("songs", "0.25"), line("other", "9")]),
            ),
            settlement("a", "2026-10-01T00:00:00Z", "USD", json!([line("songs", "0.50")])),
        ];
        let (usage, revenue) = earned("songs", &settlements).unwrap().unwrap();
        assert_eq!((usage.requests, usage.input_tokens, usage.output_tokens), (4, 20, 10));
        assert_eq!(
            (usage.through.as_str(), revenue.amount.as_str(), revenue.currency.as_str()),
            ("b", "0.75", "USD")
        );
    }

    #[test]
    fn another_currency_is_not_added() {
        let settlements = [
            settlement("a", "2026-10-01T00:00:00Z", "EUR", json!([line("songs", "0.50")])),
            settlement("b", "2026-11-01T00:00:00Z", "USD", json!([line("songs", "0.25")])),
        ];
        let (usage, revenue) = earned("songs", &settlements).unwrap().unwrap();
        assert_eq!((usage.requests, revenue.amount.as_str()), (4, "0.25"));
    }

    #[test]
    fn without_a_line_nothing_is_said() {
        assert_eq!(earned("songs", &[]).unwrap(), None);
    }
}
