//! The model card: front matter as a model hub reads it, and tables for people.

use std::fmt::Write as _;

use cooperator_contract::manifest::{AdapterManifest, DatasetManifest, ModelManifest};
use cooperator_contract::run::{GateOperator, TrainTask};
use cooperator_core::digest::Digest;

use super::curve::Point;
use super::evaluate::Measured;

/// What the card tells of.
pub(super) struct Card<'a> {
    pub task: &'a TrainTask,
    pub base: &'a ModelManifest,
    pub dataset: &'a DatasetManifest,
    pub manifest: &'a AdapterManifest,
    pub digest: &'a Digest,
    pub measured: &'a Measured,
    pub curve: &'a [Point],
}

/// `README.md` of the adapter.
pub(super) fn write(card: &Card<'_>) -> String {
    let sections =
        [front_matter(card), quality(card), attribution(card), refused(card), samples(card), made(card)];
    sections.concat()
}

fn front_matter(Card { task, base, .. }: &Card<'_>) -> String {
    format!(
        "---\nbase_model: {}\nlicense: {}\nlibrary_name: peft\npipeline_tag: text-generation\n\
         tags:\n- lora\n- peft\n- cooperator\ndatasets:\n- {}\n---\n\n# {}\n\n\
         A LoRA adapter trained by a collective on its own works, with [Cooperator](https://cooperator.dev).\n\n\
         ![Loss by step](loss.svg)\n\n",
        yaml(&task.base_model.to_string()),
        yaml(&base.license.to_lowercase()),
        yaml(&task.dataset),
        line(&task.fine_tune),
    )
}

fn quality(Card { measured, curve, .. }: &Card<'_>) -> String {
    let mut text = "## Quality\n\n".to_owned();
    if measured.losses.is_none() {
        text.push_str("Nothing was held out, so nothing was measured.\n\n");
    } else {
        let (base, adapted) = (&measured.base, &measured.adapted);
        let _ = write!(
            text,
            "On {} held-out tokens, in nats a token:\n\n| | loss | perplexity |\n| --- | ---: | ---: |\n\
             | base | {} | {} |\n| adapted | {} | {} |\n\n",
            measured.tokens, base.loss, base.perplexity, adapted.loss, adapted.perplexity
        );
    }
    if let (Some(first), Some(last)) = (curve.first(), curve.last()) {
        let _ = write!(
            text,
            "Training loss: {} at step {}, {} at step {}.\n\n",
            first.loss, first.step, last.loss, last.step
        );
    }
    if !measured.gates.is_empty() {
        text.push_str("| gate | bound | measured | |\n| --- | ---: | ---: | --- |\n");
        for result in &measured.gates {
            let sign = match result.gate.operator {
                GateOperator::GreaterThanOrEqual => "≥",
                GateOperator::LessThanOrEqual => "≤",
            };
            let verdict = if result.passed { "passed" } else { "failed" };
            let _ = writeln!(
                text,
                "| {:?} | {sign} {} | {} | {verdict} |",
                result.gate.metric,
                cell(&result.gate.value),
                result.measured
            );
        }
        text.push('\n');
    }
    text
}

fn attribution(Card { dataset, manifest, .. }: &Card<'_>) -> String {
    let mut text = "## Whose work is in it\n\n".to_owned();
    text.push_str(match manifest.attribution.is_empty() {
        true => "Nobody is credited: what it earns is split equally among the members.\n",
        false => "| member | tokens credited | share |\n| --- | ---: | ---: |\n",
    });
    for part in &manifest.attribution {
        // Integers all the way: a share of 10^9 as per cent with two digits, rounded.
        let hundredths = (part.weight + 50_000) / 100_000;
        let _ = writeln!(
            text,
            "| {} | {} | {}.{:02} % |",
            cell(&part.member),
            part.tokens,
            hundredths / 100,
            hundredths % 100
        );
    }
    text.push_str(
        "\n| contribution | member | licence | records | tokens | duplicates dropped | held out |\n",
    );
    text.push_str("| --- | --- | --- | ---: | ---: | ---: | ---: |\n");
    for given in &dataset.contributions {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&given.name),
            cell(&given.member),
            cell(&given.license),
            given.records,
            given.tokens,
            given.duplicates,
            given.held_out_records
        );
    }
    text.push('\n');
    text
}

fn refused(Card { dataset, .. }: &Card<'_>) -> String {
    if dataset.refused.is_empty() {
        return String::new();
    }
    let mut text =
        "Refused contributions:\n\n| contribution | member | reason | |\n| --- | --- | --- | --- |\n"
            .to_owned();
    for refused in &dataset.refused {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            cell(&refused.name),
            cell(&refused.member),
            cell(&refused.reason),
            cell(&refused.message)
        );
    }
    text.push('\n');
    text
}

fn samples(Card { measured, .. }: &Card<'_>) -> String {
    if measured.samples.is_empty() {
        return String::new();
    }
    let mut text = "## Samples\n\nGreedy, the likeliest token each time.\n\n| prompt | base | adapted |\n| --- | --- | --- |\n".to_owned();
    for sample in &measured.samples {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            cell(&sample.prompt),
            cell(&sample.base),
            cell(&sample.adapted)
        );
    }
    text.push('\n');
    text
}

fn made(Card { task, manifest, digest, dataset, .. }: &Card<'_>) -> String {
    let (lora, training) = (&manifest.lora, &manifest.training);
    format!(
        "## How it was made\n\n| | |\n| --- | --- |\n| adapter | `{digest}` |\n| base model | `{}` |\n\
         | dataset | {} `{}`, {} records, {} tokens |\n| LoRA | rank {}, alpha {}, dropout {}, {} |\n\
         | training | {} steps of {} × {} × {} tokens, learning rate {} ({:?}, {} warm-up steps), weight decay {}, \
         clipping {}, seed {} |\n\n\
         Every input and output by digest: [provenance.json](provenance.json). The same inputs make the same adapter, \
         byte for byte.\n\nLoad it with `peft.PeftModel.from_pretrained` on the base model.\n",
        task.base_model,
        cell(&task.dataset),
        task.dataset_digest,
        dataset.records,
        dataset.tokens,
        lora.rank,
        lora.alpha,
        cell(&lora.dropout),
        cell(&lora.target_modules.join(", ")),
        training.max_steps,
        training.gradient_accumulation,
        training.batch_size,
        training.sequence_length,
        cell(&training.learning_rate),
        training.schedule,
        training.warmup_steps,
        cell(&training.weight_decay),
        cell(&training.clip_norm),
        training.seed,
    )
}

/// Text by others as one table cell: it can end neither the cell nor the line, nor bring markup of its own.
fn cell(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in line(text).chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '#' => written.extend(['\\', character]),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '&' => written.push_str("&amp;"),
            _ => written.push(character),
        }
    }
    written
}

/// Without line breaks and control characters.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A double-quoted YAML scalar; JSON's strings are a subset of YAML's.
fn yaml(text: &str) -> String {
    serde_json::Value::from(line(text)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_by_others_stays_in_its_cell() {
        assert_eq!(cell("a|b\n# c <img> `d`"), "a\\|b \\# c &lt;img&gt; \\`d\\`");
    }

    #[test]
    fn front_matter_values_are_quoted() {
        assert_eq!(yaml("a: b\n- \"c\""), "\"a: b - \\\"c\\\"\"");
    }
}
