/// How candidates are compared and ordered.
enum Ranking {
    /// Perplexities shifted by their minimum and scaled by their median, then mixed:
    /// weight * norm(text) + (1 - weight) * norm(image), norm(x) = (x - min) / (median - min). Smaller is better. Where the median is the
    /// minimum, which leaves the reference's formula undefined, the mean takes its place, so that the best still count as 0 and what is worse as
    /// more; where all are equal they count as 0.
    static func scores(text: [Float], image: [Float], textWeight: Float) -> [Float] {
        let text = normalized(text)
        let image = normalized(image)
        return text.indices.map { textWeight * text[$0] + (1 - textWeight) * image[$0] }
    }

    /// Places of the values, smallest first; those of equal ones stay in order of appearance.
    static func order<Value: Comparable>(of values: [Value]) -> [Int] {
        values.indices.sorted { values[$0] < values[$1] || (values[$0] == values[$1] && $0 < $1) }
    }

    private static func normalized(_ values: [Float]) -> [Float] {
        let sorted = values.sorted()
        guard let smallest = sorted.first else { return [] }
        // Halves before the sum, which could be no float.
        let median = sorted[(sorted.count - 1) / 2] / 2 + sorted[sorted.count / 2] / 2
        var spread = median - smallest
        if spread <= 0 { spread = Float(sorted.reduce(0) { $0 + Double($1 - smallest) } / Double(sorted.count)) }
        return values.map { $0 > smallest ? min(($0 - smallest) / spread, .greatestFiniteMagnitude) : 0 }
    }
}
