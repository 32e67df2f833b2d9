//! Published vectors.

use crate::detect::statistics::{Confidence, Line, change_points::change_points, slope};

fn close(value: f64, expected: f64, within: f64) {
    assert!(
        (value - expected).abs() <= within,
        "{value}, not {expected}"
    );
}

/// Sen (1968), "Estimates of the regression coefficient based on Kendall's tau", the paper's own example: 4.
#[test]
fn sens_own_example() {
    let days = [1.0, 2.0, 3.0, 4.0, 10.0, 12.0, 18.0];
    let values = [9.0, 15.0, 19.0, 20.0, 45.0, 55.0, 78.0];
    let points: Vec<(f64, f64)> = days.into_iter().zip(values).collect();
    assert_eq!(slope::theil_sen(&points), Some(4.0));
}

/// Quantiles of Student's distribution, from any table.
#[test]
fn students_table() {
    let (two_sided_95, two_sided_99) = (1.959_964, 2.575_829);
    for (freedom, at_95, at_99) in [
        (4.0, 2.776, 4.604),
        (5.0, 2.571, 4.032),
        (10.0, 2.228, 3.169),
        (20.0, 2.086, 2.845),
        (30.0, 2.042, 2.750),
        (120.0, 1.980, 2.617),
    ] {
        close(slope::student(two_sided_95, freedom), at_95, 0.01 * at_95);
        close(slope::student(two_sided_99, freedom), at_99, 0.02 * at_99);
    }
}

/// The volume of the Nile at Aswan, 1871 to 1970 (Cobb 1978): one change of level, and 1899 is the first year of the new
/// one (the dam was begun in 1898).
const NILE: [f64; 100] = [
    1120.0, 1160.0, 963.0, 1210.0, 1160.0, 1160.0, 813.0, 1230.0, 1370.0, 1140.0, 995.0, 935.0,
    1110.0, 994.0, 1020.0, 960.0, 1180.0, 799.0, 958.0, 1140.0, 1100.0, 1210.0, 1150.0, 1250.0,
    1260.0, 1220.0, 1030.0, 1100.0, 774.0, 840.0, 874.0, 694.0, 940.0, 833.0, 701.0, 916.0, 692.0,
    1020.0, 1050.0, 969.0, 831.0, 726.0, 456.0, 824.0, 702.0, 1120.0, 1100.0, 832.0, 764.0, 821.0,
    768.0, 845.0, 864.0, 862.0, 698.0, 845.0, 744.0, 796.0, 1040.0, 759.0, 781.0, 865.0, 845.0,
    944.0, 984.0, 897.0, 822.0, 1010.0, 771.0, 676.0, 649.0, 846.0, 812.0, 742.0, 801.0, 1040.0,
    860.0, 874.0, 848.0, 890.0, 744.0, 749.0, 838.0, 1050.0, 918.0, 986.0, 797.0, 923.0, 975.0,
    815.0, 1020.0, 906.0, 901.0, 1170.0, 912.0, 746.0, 919.0, 718.0, 714.0, 740.0,
];

#[test]
fn the_nile_changed_with_the_dam() {
    let found = change_points(&NILE, 0.05);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].index, 28);
    close(found[0].before, 1097.75, 0.01);
    close(found[0].after, 849.97, 0.01);
}

/// The Nile has no trend that a series with memory would not show by chance; independent points would show one.
#[test]
fn the_nile_has_no_trend_beyond_doubt() {
    let points: Vec<(f64, f64)> = (0..).map(f64::from).zip(NILE).collect();
    let line = Line::of(&points, 0.0).unwrap();
    assert!(line.slope < -2.0 && line.slope > -4.0, "{line:?}");
    assert!(line.interval(Confidence::Alarm).1 > 0.0, "{line:?}");
}

/// The series of Otava's own tests (Apache, once Hunter): one change, at 10.
#[test]
fn otavas_series() {
    let series = [
        1.02, 0.95, 0.99, 1.00, 1.12, 1.00, 1.01, 0.98, 1.01, 0.96, 0.50, 0.51, 0.48, 0.48, 0.55,
        0.50, 0.49, 0.51, 0.50, 0.49,
    ];
    let places = |values: &[f64]| -> Vec<usize> {
        change_points(values, 0.0)
            .iter()
            .map(|change| change.index)
            .collect()
    };
    assert_eq!(places(&series), [10]);
    let same = [1.00, 1.02, 1.05, 0.95, 0.98, 1.00, 1.02, 1.05, 0.95, 0.98];
    assert_eq!(places(&same), Vec::<usize>::new());
    let lower = [1.00, 1.02, 1.05, 0.95, 0.98, 0.80, 0.82, 0.85, 0.79, 0.77];
    assert_eq!(places(&lower), [5]);
}
