#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A part of a task or of its answer in the Fusion Brain Challenge's files: a text, or the name of a picture.
struct TaskPart: Decodable {
    let type, content: String
}

/// A list of parts, or why it is none.
private struct TaskParts: Decodable {
    let result: Result<[TaskPart], any Error>

    init(from decoder: any Decoder) throws {
        result = Result { try [TaskPart](from: decoder) }
    }
}

/// A task or its answer.
struct TaskSample {
    let id: String
    /// nil where it is anything but a list of parts; then `failure` says what was found.
    let parts: [TaskPart]?
    let failure: String?

    fileprivate init(id: String, _ parts: TaskParts) {
        self.id = id
        switch parts.result {
        case .success(let list): (self.parts, failure) = (list, nil)
        case .failure(let error): (self.parts, failure) = (nil, describe(error, behind: 1))
        }
    }
}

/// Reads `{"0": [{"type": "text", "content": "..."}, ...], ...}`, in order of the ids: numbers first, by value.
func decodeTasks(_ bytes: [UInt8], name: String) throws(CommandError) -> [TaskSample] {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw CommandError("\(name): it is not UTF-8; expected UTF-8 text") }
    let samples: [String: TaskParts]
    do {
        samples = try JSONDecoder().decode([String: TaskParts].self, from: Data(bytes))
    } catch {
        let found = describe(error, in: bytes)
        throw CommandError(
            "\(name): it is no JSON object of tasks: \(found); expected {\"0\": [{\"type\": \"text\", \"content\": \"...\"}, ...], ...}")
    }
    let names = JSONSyntax.names(in: bytes)
    if names.count > samples.count { throw CommandError("\(name): \(describeRepetition(of: names, in: bytes)); expected each id once") }
    return inOrder(samples.keys).compactMap { id in samples[id].map { TaskSample(id: id, $0) } }
}

/// The first id that is there already, and the place of both.
private func describeRepetition(of names: [Range<Int>], in bytes: [UInt8]) -> String {
    var places: [String: Int] = [:]
    for name in names {
        guard let id = try? JSONDecoder().decode(String.self, from: Data(bytes[name])) else { continue }
        if let first = places.updateValue(name.lowerBound, forKey: id) {
            return "\(describe(place: name.lowerBound, in: bytes)): task \(id) is there already, in \(describe(place: first, in: bytes))"
        }
    }
    return "ids are there more than once"
}

/// The text of an output file, a line for each task.
func encodePredictions(_ predictions: [String: [TaskPart]]) -> String {
    if predictions.isEmpty { return "{}\n" }
    let lines = inOrder(predictions.keys).map { id in
        let parts = (predictions[id] ?? []).map { part in
            var object = JSONObject()
            object.set("type", part.type)
            object.set("content", part.content)
            return object.text
        }
        return "\(JSONObject.quoted(id)): [\(parts.joined(separator: ", "))]"
    }
    return "{\n\(lines.joined(separator: ",\n"))\n}\n"
}

private func inOrder(_ ids: some Collection<String>) -> [String] {
    ids.sorted { first, second in
        switch (Int(first), Int(second)) {
        case (let first?, let second?) where first != second: first < second
        case (_?, nil): true
        case (nil, _?): false
        default: first < second
        }
    }
}
