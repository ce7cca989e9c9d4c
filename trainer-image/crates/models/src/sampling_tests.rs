use proptest::prelude::*;

use super::*;

fn sampler(temperature: f32, top_p: f32, seed: u64) -> Sampler {
    Sampler::new(SamplingOptions { temperature, top_p, seed })
}

#[test]
fn temperature_zero_takes_the_first_of_the_likeliest() {
    assert_eq!(sampler(0.0, 1.0, 1).next(&[0.0, 3.0, 3.0, -1.0]), Some(1));
    assert_eq!(sampler(0.0, 1.0, 1).next(&[f32::NEG_INFINITY, -5.0]), Some(1));
}

#[test]
fn nan_and_nothing_give_no_token() {
    assert_eq!(sampler(1.0, 1.0, 1).next(&[1.0, f32::NAN]), None);
    assert_eq!(sampler(0.0, 1.0, 1).next(&[]), None);
}

#[test]
fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
    let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
    let draw = |seed| {
        let mut sampler = sampler(1.0, 0.95, seed);
        (0..40).map(|_| sampler.next(&logits)).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn tokens_come_as_often_as_their_probability() {
    let mut sampler = sampler(1.0, 1.0, 3);
    let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
    let mut counts = [0; 3];
    for _ in 0..20_000 {
        counts[sampler.next(&logits).unwrap() as usize] += 1;
    }
    for (count, share) in counts.iter().zip([0.5, 0.3, 0.2]) {
        assert!((f64::from(*count) / 20_000.0 - share).abs() < 0.015, "{counts:?}");
    }
}

#[test]
fn top_p_leaves_only_the_nucleus() {
    let mut sampler = sampler(1.0, 0.6, 3);
    let logits = [0.2f32.ln(), 0.5f32.ln(), 0.3f32.ln()];
    for _ in 0..1000 {
        assert_ne!(sampler.next(&logits), Some(0));
    }
    let mut strict = self::sampler(1.0, 0.0, 3);
    for _ in 0..100 {
        assert_eq!(strict.next(&logits), Some(1));
    }
}

#[test]
fn a_stop_string_over_several_pieces_is_found_and_not_shown() {
    let mut scanner = StopScanner::new(["\n\nEnd".to_owned()]);
    assert_eq!(scanner.push("one\n"), ("one".to_owned(), false));
    assert_eq!(scanner.push("\nE"), (String::new(), false));
    assert_eq!(scanner.push("nd of"), (String::new(), true));
}

#[test]
fn what_only_looked_like_a_stop_string_is_shown_after_all() {
    let mut scanner = StopScanner::new(["abc".to_owned(), String::new()]);
    assert_eq!(scanner.push("xab"), ("x".to_owned(), false));
    assert_eq!(scanner.push("d"), ("abd".to_owned(), false));
    assert_eq!(scanner.push("ab"), (String::new(), false));
    assert_eq!(scanner.finish(), "ab");
}

#[test]
fn the_stop_string_that_is_complete_first_ends_the_text_however_it_is_cut() {
    let stops = || ["é".to_owned(), "bébb".to_owned()];
    assert_eq!(StopScanner::new(stops()).push("abébb"), ("ab".to_owned(), true));
    assert_eq!(StopScanner::new(stops()).push("abé"), ("ab".to_owned(), true));
    let together = ["c".to_owned(), "abc".to_owned()];
    assert_eq!(StopScanner::new(together).push("xabc"), ("x".to_owned(), true));
}

proptest! {
    #[test]
    fn where_the_pieces_are_cut_makes_no_difference(
        text in "[abé]{0,24}", stops in prop::collection::vec("[abé]{1,4}", 0..3), cuts in prop::collection::vec(0usize..24, 0..6)
    ) {
        let whole = stops.iter().filter_map(|stop| text.find(stop.as_str()).map(|at| (at + stop.len(), at))).min();
        let expected = whole.map_or(text.as_str(), |(_, at)| &text[..at]);
        let mut scanner = StopScanner::new(stops);
        let (mut shown, mut stopped, mut piece) = (String::new(), false, String::new());
        for (index, sign) in text.chars().enumerate() {
            piece.push(sign);
            if cuts.contains(&index) && !stopped {
                let (new, end) = scanner.push(&std::mem::take(&mut piece));
                shown.push_str(&new);
                stopped = end;
            }
        }
        if !stopped {
            let (new, end) = scanner.push(&piece);
            shown.push_str(&new);
            stopped = end;
        }
        if !stopped {
            shown.push_str(&scanner.finish());
        }
        prop_assert_eq!(shown, expected);
        prop_assert_eq!(stopped, whole.is_some());
    }
}
