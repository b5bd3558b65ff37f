import CommandSupport
import Rudolph

/// A text that some of a task's candidates gave.
protocol CandidateText {
    var text: String { get }
    var ids: [Int] { get }
    var count: Int { get }
    /// Adds what the texts are ordered by beside the count.
    func describeScores(in object: inout JSONObject)
    /// The same for people, behind the count.
    var remark: String { get }
}

extension CandidateText {
    func describeScores(in object: inout JSONObject) {}
    var remark: String { "" }

    func describe(in object: inout JSONObject) {
        object.set("ids", ids)
        object.set("count", count)
        describeScores(in: &object)
    }
}

extension Answer: CandidateText {}

extension Caption: CandidateText {
    func describeScores(in object: inout JSONObject) {
        object.setScores(score, text: textPerplexity, image: imagePerplexity)
    }
}

extension Completion: CandidateText {
    func describeScores(in object: inout JSONObject) {
        object.set("perplexity", perplexity)
    }

    var remark: String { ", perplexity \(decimal(Double(perplexity), places: 2))" }
}

extension JSONObject {
    /// The scores of a ranking, where there was one.
    mutating func setScores(_ score: Float?, text: Float?, image: Float?) {
        if let score { set("score", score) }
        if let text { set("text_perplexity", text) }
        if let image { set("image_perplexity", image) }
    }

    mutating func set(candidates: [some CandidateText]) {
        set("candidates", candidates.map { candidate in
            var entry = JSONObject()
            entry.set("text", candidate.text)
            candidate.describe(in: &entry)
            return entry
        })
    }
}

extension ResultWriter {
    /// A line for each text, with how many of `total` candidates gave it.
    mutating func lines(of candidates: [some CandidateText], of total: Int) {
        for candidate in candidates { line("  \(candidate.count) of \(total)\(candidate.remark): \(candidate.text)") }
    }
}
