//! The loss curve as an SVG.

use plotters::prelude::*;

use super::curve::Point;

/// Width and height in pixels.
const SIZE: (u32, u32) = (800, 420);

/// Draws the training loss by step, with lines for the held-out loss of base and adapted model.
pub(super) fn draw(
    curve: &[Point],
    held_out: Option<(f64, f64)>,
) -> Result<String, Box<dyn std::error::Error>> {
    let points: Vec<(f64, f64)> = curve.iter().map(Point::at).filter(|(_, loss)| loss.is_finite()).collect();
    let lines: Vec<f64> = held_out.into_iter().flat_map(|(base, adapted)| [base, adapted]).collect();
    let values =
        points.iter().map(|(_, loss)| *loss).chain(lines.iter().copied().filter(|loss| loss.is_finite()));
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), loss| (low.min(loss), high.max(loss)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let margin = ((high - low) * 0.1).max(0.05);
    let last = points.last().map_or(1.0, |(step, _)| step.max(1.0));

    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, low - margin..high + margin)?;
    chart.configure_mesh().light_line_style(WHITE).x_desc("step").y_desc("loss, nats a token").draw()?;
    let (training, base, adapted) = (RGBColor(31, 119, 180), RGBColor(127, 127, 127), RGBColor(44, 160, 44));
    chart
        .draw_series(LineSeries::new(points, training.stroke_width(2)))?
        .label("training")
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], training.stroke_width(2)));
    for (loss, label, colour) in lines
        .iter()
        .zip([("held out, base", base), ("held out, adapted", adapted)])
        .map(|(l, (n, c))| (*l, n, c))
    {
        chart
            .draw_series(LineSeries::new([(0.0, loss), (last, loss)], colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    area.present()?;
    drop(chart);
    drop(area);
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_the_curve_and_both_held_out_lines() {
        let curve: Vec<Point> = (1..=20).map(|step| Point::new(step, 4.0 - step as f64 * 0.05)).collect();
        let svg = draw(&curve, Some((3.5, 3.2))).unwrap();
        assert!(svg.starts_with("<svg") && svg.matches("<polyline").count() >= 3, "{svg}");
        assert!(svg.contains("held out, adapted") && svg.contains("held out, base"));
    }

    #[test]
    fn nothing_learned_and_nothing_measured_still_make_a_picture() {
        assert!(draw(&[], None).unwrap().contains("</svg>"));
        assert!(draw(&[Point::new(1, f64::NAN)], Some((f64::NAN, 1.0))).unwrap().contains("</svg>"));
    }
}
