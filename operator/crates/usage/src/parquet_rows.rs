//! Rows to and from Parquet columns.

use std::io::Write;

use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use jiff::Timestamp;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::RowGroupReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;

use crate::chain::UsageLogError;
use crate::hour::GROUP_ROWS;

/// The columns, in the order in which they are written and read below.
const SCHEMA: &str = "message usage {
    required binary gateway (STRING);
    required int64 sequence (INTEGER(64,false));
    required int64 time (TIMESTAMP(MICROS,true));
    required binary key (STRING);
    required binary consumer (STRING);
    required binary deployment (STRING);
    optional binary adapter (STRING);
    required int64 input_tokens (INTEGER(64,false));
    required int64 output_tokens (INTEGER(64,false));
    required binary currency (STRING);
    required binary input_price (STRING);
    required binary output_price (STRING);
    required binary status (STRING);
}";

/// The schema of an hour.
pub(crate) fn schema() -> std::result::Result<TypePtr, UsageLogError> {
    parse_message_type(SCHEMA).map(TypePtr::new).map_err(|error| UsageLogError::Malformed(error.to_string()))
}

/// Writes rows as one row group.
pub(crate) fn write_group<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    rows: &[UsageRow],
) -> Result<()> {
    let mut group = file.next_row_group()?;
    text(&mut group, rows, |row| &row.gateway)?;
    integer(&mut group, rows, |row| row.sequence.cast_signed())?;
    integer(&mut group, rows, |row| row.time.as_microsecond())?;
    text(&mut group, rows, |row| &row.key)?;
    text(&mut group, rows, |row| &row.consumer)?;
    text(&mut group, rows, |row| &row.deployment)?;
    let adapters: Vec<ByteArray> = rows
        .iter()
        .flat_map(|row| &row.adapter)
        .map(|digest| digest.to_string().into_bytes().into())
        .collect();
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.adapter.is_some())).collect();
    column::<_, ByteArrayType>(&mut group, &adapters, Some(&levels))?;
    integer(&mut group, rows, |row| row.input_tokens.cast_signed())?;
    integer(&mut group, rows, |row| row.output_tokens.cast_signed())?;
    text(&mut group, rows, |row| &row.price.currency)?;
    text(&mut group, rows, |row| &row.price.input)?;
    text(&mut group, rows, |row| &row.price.output)?;
    text(&mut group, rows, |row| status_text(row.status))?;
    group.close()?;
    Ok(())
}

fn text<'a, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &'a [UsageRow],
    of: impl Fn(&'a UsageRow) -> &'a str,
) -> Result<()> {
    let values: Vec<ByteArray> = rows.iter().map(|row| of(row).as_bytes().to_vec().into()).collect();
    column::<_, ByteArrayType>(group, &values, None)
}

fn integer<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[UsageRow],
    of: impl Fn(&UsageRow) -> i64,
) -> Result<()> {
    let values: Vec<i64> = rows.iter().map(of).collect();
    column::<_, Int64Type>(group, &values, None)
}

fn column<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let fewer = || ParquetError::General("the schema has fewer columns than a row".to_owned());
    let mut column = group.next_column()?.ok_or_else(fewer)?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

/// Reads one row group.
pub(crate) fn read_group(group: &dyn RowGroupReader) -> std::result::Result<Vec<UsageRow>, UsageLogError> {
    let mut columns = Columns { group, next: 0 };
    let malformed = |error: ParquetError| UsageLogError::Malformed(error.to_string());
    let mut read = || -> Result<Vec<UsageRow>> {
        let (mut gateway, mut sequence, mut time) =
            (columns.texts()?, columns.integers()?, columns.integers()?);
        let (mut key, mut consumer, mut deployment) = (columns.texts()?, columns.texts()?, columns.texts()?);
        let mut adapter = columns.optional_texts()?;
        let (mut input_tokens, mut output_tokens) = (columns.integers()?, columns.integers()?);
        let (mut currency, mut input, mut output) = (columns.texts()?, columns.texts()?, columns.texts()?);
        let mut status = columns.texts()?;
        (0..columns.rows()?)
            .map(|_| {
                Ok(UsageRow {
                    gateway: next(&mut gateway)?,
                    sequence: next(&mut sequence)?.cast_unsigned(),
                    time: Timestamp::from_microsecond(next(&mut time)?).map_err(|error| general(&error))?,
                    key: next(&mut key)?,
                    consumer: next(&mut consumer)?,
                    deployment: next(&mut deployment)?,
                    adapter: next(&mut adapter)?
                        .map(|text| text.parse())
                        .transpose()
                        .map_err(|e| general(&e))?,
                    input_tokens: next(&mut input_tokens)?.cast_unsigned(),
                    output_tokens: next(&mut output_tokens)?.cast_unsigned(),
                    price: PriceTag {
                        currency: next(&mut currency)?,
                        input: next(&mut input)?,
                        output: next(&mut output)?,
                    },
                    status: status_of(&next(&mut status)?)?,
                })
            })
            .collect()
    };
    read().map_err(malformed)
}

/// Hands out a row group's columns one after the other.
struct Columns<'a> {
    group: &'a dyn RowGroupReader,
    next: usize,
}

impl Columns<'_> {
    /// How many rows the group says it has, at most as many as are ever written into one: memory is taken for them.
    fn rows(&self) -> Result<usize> {
        let said = self.group.metadata().num_rows();
        usize::try_from(said).ok().filter(|rows| *rows <= GROUP_ROWS).ok_or_else(|| {
            ParquetError::General(format!("a row group of {said} rows, at most {GROUP_ROWS} are written"))
        })
    }

    /// Values and definition levels of the next column.
    fn read<T: DataType>(&mut self) -> Result<(Vec<T::T>, Vec<i16>)> {
        let kind = self.group.metadata().columns().get(self.next).map(|column| column.column_type());
        if kind != Some(T::get_physical_type()) {
            return Err(ParquetError::General(format!("column {} is missing or of another type", self.next)));
        }
        let rows = self.rows()?;
        let mut reader = get_typed_column_reader::<T>(self.group.get_column_reader(self.next)?);
        let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::new());
        let mut read = 0;
        while read < rows {
            let (records, _, _) = reader.read_records(rows - read, Some(&mut levels), None, &mut values)?;
            if records == 0 {
                return Err(ParquetError::General(format!(
                    "column {} ends after {read} of {rows} rows",
                    self.next
                )));
            }
            read += records;
        }
        self.next += 1;
        Ok((values, levels))
    }

    fn integers(&mut self) -> Result<std::vec::IntoIter<i64>> {
        Ok(self.read::<Int64Type>()?.0.into_iter())
    }

    fn texts(&mut self) -> Result<std::vec::IntoIter<String>> {
        let (values, _) = self.read::<ByteArrayType>()?;
        Ok(values.iter().map(utf8).collect::<Result<Vec<_>>>()?.into_iter())
    }

    fn optional_texts(&mut self) -> Result<std::vec::IntoIter<Option<String>>> {
        let (values, levels) = self.read::<ByteArrayType>()?;
        let mut values = values.iter();
        let texts = levels.into_iter().map(|level| match level {
            0 => Ok(None),
            _ => values.next().map(utf8).transpose(),
        });
        Ok(texts.collect::<Result<Vec<_>>>()?.into_iter())
    }
}

fn next<T>(column: &mut impl Iterator<Item = T>) -> Result<T> {
    column
        .next()
        .ok_or_else(|| ParquetError::General("a column has fewer values than the group has rows".to_owned()))
}

fn utf8(bytes: &ByteArray) -> Result<String> {
    Ok(bytes.as_utf8()?.to_owned())
}

fn general(error: &dyn std::error::Error) -> ParquetError {
    ParquetError::General(error.to_string())
}

fn status_text(status: UsageStatus) -> &'static str {
    match status {
        UsageStatus::Completed => "completed",
        UsageStatus::Disconnected => "disconnected",
        UsageStatus::Failed => "failed",
    }
}

fn status_of(text: &str) -> Result<UsageStatus> {
    match text {
        "completed" => Ok(UsageStatus::Completed),
        "disconnected" => Ok(UsageStatus::Disconnected),
        "failed" => Ok(UsageStatus::Failed),
        _ => Err(ParquetError::General("a status is not completed, disconnected or failed".to_owned())),
    }
}
