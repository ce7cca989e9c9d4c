use proptest::prelude::*;

use super::*;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

#[test]
fn an_amount_is_exact_to_twelve_places() {
    assert_eq!(amount("0.000000000001").pico(), 1);
    assert_eq!(amount("-1.5").pico(), -1_500_000_000_000);
    assert_eq!(amount("007.10"), amount("7.1"));
    assert_eq!(amount("-0"), Amount::ZERO);
    assert_eq!(amount("1.0000000000000000").pico(), PICO);
}

#[test]
fn an_amount_is_written_with_the_places_asked_for_or_more() {
    assert_eq!(amount("3.4").with_places(2), "3.40");
    assert_eq!(amount("3").with_places(0), "3");
    assert_eq!(amount("0.001028").with_places(2), "0.001028");
    assert_eq!(amount("-0.05").to_string(), "-0.05");
    assert_eq!(Amount::ZERO.with_places(2), "0.00");
}

#[test]
fn what_is_no_decimal_is_refused() {
    for text in ["", "-", ".5", "5.", "1e3", "+1", "1,5", " 1", "1.2.3", "٣", "--1", "1.-2"] {
        assert!(matches!(text.parse::<Amount>(), Err(MoneyError::Syntax(_))), "{text}");
    }
    assert!(matches!("0.0000000000001".parse::<Amount>(), Err(MoneyError::TooPrecise { places: 12, .. })));
    assert_eq!("9".repeat(40).parse::<Amount>(), Err(MoneyError::Overflow));
}

#[test]
fn arithmetic_stops_at_the_bound() {
    let most = Amount::from_pico(i128::MAX);
    assert_eq!(most.plus(Amount::from_pico(1)), Err(MoneyError::Overflow));
    assert_eq!(Amount::from_pico(i128::MIN).minus(Amount::from_pico(1)), Err(MoneyError::Overflow));
    assert_eq!(most.times(2), Err(MoneyError::Overflow));
    assert_eq!(Amount::sum([most, most]), Err(MoneyError::Overflow));
}

#[test]
fn a_token_costs_a_millionth_of_the_price() {
    let price: Price = "0.80".parse().unwrap();
    assert_eq!(price.amount(4_000_000), amount("3.2"));
    assert_eq!(price.amount(1), amount("0.0000008"));
    let least: Price = "0.000001".parse().unwrap();
    assert_eq!(least.amount(1).pico(), 1);
}

#[test]
fn the_highest_price_times_all_tokens_is_in_range() {
    let price: Price = Price::MAX_UNITS.to_string().parse().unwrap();
    assert_eq!(price.amount(u64::MAX).pico(), 1_000_000_000_000_000 * i128::from(u64::MAX));
}

#[test]
fn a_price_below_zero_too_fine_or_too_high_is_refused() {
    assert!(matches!("-0.1".parse::<Price>(), Err(MoneyError::Negative(_))));
    assert!(matches!("0.0000001".parse::<Price>(), Err(MoneyError::TooPrecise { places: 6, .. })));
    assert!(matches!("1000000000.1".parse::<Price>(), Err(MoneyError::TooHigh { .. })));
}

#[test]
fn time_is_paid_rounded_up_to_a_pico() {
    let price: PricePerHour = "0.60".parse().unwrap();
    assert_eq!(price.amount(3600).unwrap(), amount("0.6"));
    assert_eq!(price.amount(1).unwrap(), amount("0.000166666667"));
    assert_eq!(price.amount(0).unwrap(), Amount::ZERO);
}

#[test]
fn a_currency_is_a_code() {
    for text in ["EUR", "USDC", "1INCH"] {
        assert_eq!(text.parse::<Currency>().unwrap().as_str(), text);
    }
    for text in ["", "eur", "EU", "EU R", "ABCDEFGHIJK"] {
        assert!(text.parse::<Currency>().is_err(), "{text}");
    }
}

#[test]
fn the_payable_unit_follows_the_decimals() {
    assert_eq!(Decimals::new(2).unwrap().unit(), amount("0.01"));
    assert_eq!(Decimals::new(0).unwrap().unit(), amount("1"));
    assert_eq!(Decimals::new(12).unwrap().unit().pico(), 1);
    assert_eq!(Decimals::new(13), Err(MoneyError::Decimals(13)));
}

#[test]
fn json_form_is_a_string() {
    assert_eq!(serde_json::to_string(&amount("3.40")).unwrap(), "\"3.4\"");
    assert_eq!(serde_json::from_str::<Price>("\"0.20\"").unwrap(), "0.2".parse().unwrap());
    assert!(serde_json::from_str::<Amount>("3.4").is_err());
}

proptest! {
    #[test]
    fn written_and_read_is_the_same(pico in any::<i128>(), places in 0u8..=12) {
        let amount = Amount::from_pico(pico);
        prop_assert_eq!(amount.with_places(places).parse::<Amount>().unwrap(), amount);
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = text.parse::<Amount>();
        let _ = text.parse::<Price>();
        let _ = text.parse::<Currency>();
    }

    #[test]
    fn tokens_cost_the_same_together_and_apart(micros in 0u64..1_000_000_000_000_000, a in 0u64..u64::MAX / 2, b in 0u64..u64::MAX / 2) {
        let price: Price = Amount::from_pico(i128::from(micros) * 1_000_000).to_string().parse().unwrap();
        prop_assert_eq!(price.amount(a).plus(price.amount(b)).unwrap(), price.amount(a + b));
    }
}
