use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use cooperator_core::digest::Digest;
use cooperator_mutate::mutated;
use jiff::Timestamp;
use proptest::prelude::*;

use crate::chain::{Chain, Header, UsageLogError, whole_microsecond};
use crate::chunk;
use crate::hour::{HourReader, HourWriter};
use crate::key::{self, SegmentKind};

const GATEWAY: &str = "gateway-0";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn row(sequence: u64) -> UsageRow {
    UsageRow {
        gateway: GATEWAY.to_owned(),
        sequence,
        time: at(sequence.cast_signed()),
        key: "uid".to_owned(),
        consumer: "a-reading-room".to_owned(),
        deployment: "presidents".to_owned(),
        adapter: sequence.is_multiple_of(2).then(|| Digest::of(b"adapter")),
        input_tokens: sequence * 10,
        output_tokens: u64::MAX - sequence,
        price: PriceTag { currency: "USD".to_owned(), input: "0.20".to_owned(), output: "0.80".to_owned() },
        status: UsageStatus::Completed,
    }
}

fn rows(range: std::ops::RangeInclusive<u64>) -> Vec<UsageRow> {
    range.map(row).collect()
}

fn pack_hour(chain: &Chain, rows: Vec<UsageRow>) -> (Header, Chain, Bytes) {
    let mut writer = HourWriter::new(Vec::new(), chain).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    let (header, chain, bytes) = writer.finish().unwrap();
    (header, chain, bytes.into())
}

fn unpack_hour(bytes: Bytes) -> Result<Vec<UsageRow>, UsageLogError> {
    let mut reader = HourReader::open(bytes)?;
    let mut rows = Vec::new();
    while let Some(group) = reader.next_group()? {
        rows.extend(group);
    }
    Ok(rows)
}

#[test]
fn chunks_and_hours_of_the_same_rows_end_at_the_same_head() {
    let mut chain = Chain::genesis(GATEWAY);
    let (first, _) = chunk::encode(&mut chain, &rows(1..=3)).unwrap();
    let (second, bytes) = chunk::encode(&mut chain, &rows(4..=7)).unwrap();
    assert_eq!((second.previous, second.first_sequence, second.last_sequence), (first.head, 4, 7));
    assert_eq!(chunk::decode(&bytes).unwrap(), (second.clone(), rows(4..=7)));
    let (hour, after, _) = pack_hour(&Chain::genesis(GATEWAY), rows(1..=7));
    assert_eq!((hour.head, after), (second.head, chain));
}

#[test]
fn an_hour_of_several_groups_reads_as_it_was_written() {
    let all = rows(1..=crate::hour::GROUP_ROWS as u64 + 5);
    let (header, _, bytes) = pack_hour(&Chain::genesis(GATEWAY), all.clone());
    assert_eq!(HourReader::open(bytes.clone()).unwrap().header(), &header);
    assert!(bytes.len() < all.len() * 40, "{} bytes for {} rows", bytes.len(), all.len());
    assert_eq!(unpack_hour(bytes).unwrap(), all);
}

#[test]
fn an_hour_follows_where_it_begins_and_is_then_checked_from_there() {
    let (_, chain, first) = pack_hour(&Chain::genesis(GATEWAY), rows(1..=3));
    let (_, end, second) = pack_hour(&chain, rows(4..=5));
    let mut reader = HourReader::open(second.clone()).unwrap();
    assert!(!reader.follows(&Chain::genesis(GATEWAY)) && !reader.follows(&end));
    assert!(reader.follows(&chain));
    assert_eq!(reader.next_group().unwrap().unwrap(), rows(4..=5));
    assert_eq!(*reader.chain(), end);
    assert_eq!(reader.next_group().unwrap(), None);
    let forged = Chain::resume(GATEWAY, 3, Digest::of(b"another log"));
    assert!(
        !HourReader::open(second).unwrap().follows(&forged)
            && !HourReader::open(first).unwrap().follows(&forged)
    );
}

/// The lines of a chunk.
fn text(bytes: &[u8]) -> String {
    String::from_utf8(chunk::unpack(bytes).unwrap()).unwrap()
}

fn packed(text: &str) -> Vec<u8> {
    chunk::pack(text.as_bytes()).unwrap()
}

#[test]
fn a_chunk_that_unpacks_to_too_much_or_is_not_packed_is_refused() {
    let zeros = std::io::Read::take(std::io::repeat(0), (256 << 20) + 1);
    let bomb = zstd::stream::encode_all(zeros, 1).unwrap();
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    let refused = |bytes: &[u8]| matches!(chunk::decode(bytes), Err(UsageLogError::Malformed(_)));
    assert!(refused(&bomb) && refused(b"{\"firstSequence\":1}\n") && refused(b""));
}

#[test]
fn a_changed_row_breaks_the_chain() {
    let (_, bytes) = chunk::encode(&mut Chain::genesis(GATEWAY), &rows(1..=3)).unwrap();
    let text = text(&bytes).replace("\"inputTokens\":20,", "\"inputTokens\":21,");
    assert!(matches!(chunk::decode(&packed(&text)), Err(UsageLogError::Broken { sequence: 3, .. })));
}

#[test]
fn a_missing_row_is_a_gap() {
    let (_, bytes) = chunk::encode(&mut Chain::genesis(GATEWAY), &rows(1..=3)).unwrap();
    let text = text(&bytes);
    let without = |skip: usize| {
        text.lines()
            .enumerate()
            .filter(|(line, _)| *line != skip)
            .map(|(_, line)| format!("{line}\n"))
            .collect::<String>()
    };
    assert!(matches!(
        chunk::decode(&packed(&without(2))),
        Err(UsageLogError::Gap { expected: 2, found: 3, .. })
    ));
    assert!(matches!(
        chunk::decode(&packed(&without(3))),
        Err(UsageLogError::Gap { expected: 3, found: 2, .. })
    ));
}

#[test]
fn a_row_that_does_not_follow_is_refused_and_changes_nothing() {
    let mut chain = Chain::genesis(GATEWAY);
    chain.append(&row(1)).unwrap();
    let before = chain.clone();
    let other = UsageRow { gateway: "gateway-1".to_owned(), ..row(2) };
    assert!(matches!(chain.append(&other), Err(UsageLogError::OtherGateway { .. })));
    assert!(matches!(chain.append(&row(1)), Err(UsageLogError::Gap { .. })));
    let old = UsageRow { time: at(0), ..row(2) };
    assert!(matches!(chain.append(&old), Err(UsageLogError::BackInTime { .. })));
    let fine = Timestamp::from_nanosecond(at(5).as_nanosecond() + 1).unwrap();
    assert!(matches!(chain.append(&UsageRow { time: fine, ..row(2) }), Err(UsageLogError::TooFine { .. })));
    assert_eq!(whole_microsecond(fine), at(5));
    assert!(matches!(chunk::encode(&mut chain, &[]), Err(UsageLogError::Empty(_))));
    assert!(matches!(HourWriter::new(Vec::new(), &chain).unwrap().finish(), Err(UsageLogError::Empty(_))));
    assert_eq!(chain, before);
}

#[test]
fn a_row_after_the_last_possible_one_is_refused() {
    let mut chain = Chain::resume(GATEWAY, u64::MAX - 1, Digest::of(b"before"));
    let last = UsageRow { sequence: u64::MAX, time: at(0), output_tokens: 0, input_tokens: 0, ..row(1) };
    chain.append(&last).unwrap();
    assert!(matches!(chain.append(&last), Err(UsageLogError::Gap { .. })), "the same row is billed once");
}

#[test]
fn a_header_that_counts_from_nothing_or_has_no_rows_is_refused() {
    let (header, bytes) = chunk::encode(&mut Chain::genesis(GATEWAY), &rows(1..=3)).unwrap();
    let text = text(&bytes);
    let from_zero = text.replace("\"firstSequence\":1", "\"firstSequence\":0");
    let error = chunk::decode(&packed(&from_zero)).unwrap_err();
    assert_eq!(error, UsageLogError::Gap { gateway: GATEWAY.to_owned(), expected: 1, found: 0 });
    let empty = Header { first_sequence: 4, last_sequence: 3, previous: header.head, ..header };
    let line = serde_json::to_string(&empty).unwrap();
    assert_eq!(chunk::decode(&packed(&line)).unwrap_err(), UsageLogError::Empty(GATEWAY.to_owned()));
}

#[test]
fn a_group_of_more_rows_than_are_ever_written_is_refused_before_memory_is_taken_for_them() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::file::writer::SerializedFileWriter;
    let schema = crate::parquet_rows::schema().unwrap();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, std::sync::Arc::default()).unwrap();
    crate::parquet_rows::write_group(&mut file, &rows(1..=crate::hour::GROUP_ROWS as u64 + 1)).unwrap();
    let file = SerializedFileReader::new(Bytes::from(file.into_inner().unwrap())).unwrap();
    let error = crate::parquet_rows::read_group(&*file.get_row_group(0).unwrap()).unwrap_err();
    assert!(error.to_string().contains("a row group of 32769 rows, at most 32768 are written"), "{error}");
}

/// Found by the fuzz target `usage_hour`: Parquet's own reader panics over it.
#[test]
fn an_hour_whose_column_begins_below_zero_is_malformed() {
    let bytes = include_bytes!("tests/negative_column.parquet").as_slice();
    let error = unpack_hour(bytes.into()).unwrap_err().to_string();
    assert_eq!(error, "usage segment cannot be read (its Parquet columns contradict each other)");
}

#[test]
fn a_key_tells_what_it_holds() {
    let digest = Digest::of(b"");
    let time: Timestamp = "2026-11-24T13:59:59Z".parse().unwrap();
    let hour = key::parse(&layout::usage_hour(GATEWAY, &key::hour(time), &digest)).unwrap();
    assert_eq!((hour.gateway.as_str(), hour.digest), (GATEWAY, digest));
    assert_eq!(hour.kind, SegmentKind::Hour { start: key::hour_start(time) });
    let chunk = key::parse(&layout::usage_chunk(GATEWAY, 42, &digest)).unwrap();
    assert_eq!(chunk.kind, SegmentKind::Chunk { first_sequence: 42 });
    for other in ["usage/", "usage/g/open/x.ndjson", "usage/g/2026/13/01/00-ab.parquet", "models/a.json"] {
        assert_eq!(key::parse(other), None, "{other}");
    }
}

prop_compose! {
    fn any_row()(
        micros in 0i64..1_000_000_000, text in "\\PC{0,12}", adapter: Option<[u8; 32]>,
        input_tokens: u64, output_tokens: u64,
        status in prop::sample::select(vec![UsageStatus::Completed, UsageStatus::Disconnected, UsageStatus::Failed]),
    ) -> UsageRow {
        let time = Timestamp::from_microsecond(at(0).as_microsecond() + micros).unwrap();
        let adapter = adapter.map(Digest::from_bytes);
        let price = PriceTag { currency: text.clone(), input: "0".to_owned(), output: text.clone() };
        let (key, consumer) = (String::new(), text);
        UsageRow { time, key, consumer, adapter, input_tokens, output_tokens, price, status, ..row(0) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_rows_come_back_from_both_forms(start in 0u64..1000, rows in prop::collection::vec(any_row(), 1..40)) {
        let mut rows = rows;
        rows.sort_by_key(|row| row.time);
        for (row, sequence) in rows.iter_mut().zip(start + 1..) {
            row.sequence = sequence;
        }
        let mut chain = Chain::resume(GATEWAY, start, Digest::of(b"before"));
        let (hour, _, parquet) = pack_hour(&chain, rows.clone());
        let (header, ndjson) = chunk::encode(&mut chain, &rows).unwrap();
        prop_assert_eq!(&hour, &header);
        prop_assert_eq!(unpack_hour(parquet).unwrap(), rows.clone());
        prop_assert_eq!(chunk::decode(&ndjson).unwrap(), (header, rows));
    }

    #[test]
    fn a_chunk_that_was_changed_is_refused_or_has_the_same_rows(
        bytes in mutated({
            let chunk = chunk::encode(&mut Chain::genesis(GATEWAY), &rows(1..=3)).unwrap().1;
            vec![text(&chunk).into_bytes(), chunk]
        }),
    ) {
        for bytes in [chunk::pack(&bytes).unwrap(), bytes] {
            if let Ok((_, read)) = chunk::decode(&bytes) {
                prop_assert_eq!(read, rows(1..=3));
            }
        }
    }

    #[test]
    fn an_hour_that_was_changed_is_refused_or_has_the_same_rows(
        bytes in mutated(vec![pack_hour(&Chain::genesis(GATEWAY), rows(1..=3)).2.to_vec()]),
    ) {
        if let Ok(read) = unpack_hour(bytes.into()) {
            prop_assert_eq!(read, rows(1..=3));
        }
    }

    #[test]
    fn a_key_that_was_changed_is_none_or_a_segment(
        bytes in mutated(vec![layout::usage_chunk(GATEWAY, 42, &Digest::of(b"")).into_bytes(),
            layout::usage_hour(GATEWAY, &key::hour(at(0)), &Digest::of(b"")).into_bytes()]),
    ) {
        let _ = key::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(chunk::decode(&bytes).is_err());
        prop_assert!(unpack_hour(bytes.into()).is_err());
    }
}
