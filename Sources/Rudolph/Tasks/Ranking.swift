/// How candidates are compared and ordered.
enum Ranking {
    /// Perplexities shifted by their minimum and scaled by their median, then mixed:
    /// weight * norm(text) + (1 - weight) * norm(image), norm(x) = (x - min) / (median - min); a norm whose median is its minimum
    /// counts as 0 there. Smaller is better.
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
        let median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        let spread = median - smallest
        return values.map { spread > 0 ? ($0 - smallest) / spread : ($0 - smallest == 0 ? 0 : .infinity) }
    }
}
