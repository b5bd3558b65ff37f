#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A part of a task or of its answer in the Fusion Brain Challenge's files: a text, or the name of a picture.
struct TaskPart: Decodable {
    let type, content: String
}

/// A task or its answer.
struct TaskSample: Decodable {
    let id: String
    /// nil where it is anything but a list of parts.
    let parts: [TaskPart]?

    init(id: String, parts: [TaskPart]?) {
        self.id = id
        self.parts = parts
    }

    init(from decoder: any Decoder) throws {
        id = ""
        parts = try? [TaskPart](from: decoder)
    }
}

/// Reads `{"0": [{"type": "text", "content": "..."}, ...], ...}`, in order of the ids: numbers first, by value.
func decodeTasks(_ bytes: [UInt8], name: String) throws(CommandError) -> [TaskSample] {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw CommandError("\(name): it is not UTF-8; expected UTF-8 text") }
    guard let samples = try? JSONDecoder().decode([String: TaskSample].self, from: Data(bytes)) else {
        throw CommandError("\(name): it is no JSON object of tasks; expected {\"0\": [{\"type\": \"text\", \"content\": \"...\"}, ...], ...}")
    }
    return inOrder(samples.keys).map { TaskSample(id: $0, parts: samples[$0]?.parts) }
}

/// The text of an output file, a line for each task.
func encodePredictions(_ predictions: [String: [TaskPart]]) -> String {
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
