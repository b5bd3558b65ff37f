import ImageFiles

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Opens a file, or standard input for `-`, and reads all of it.
func readInput(_ path: String) throws -> (name: String, bytes: [UInt8]) {
    let input = path == "-" ? InputFile.standardInput : try InputFile(path: path)
    return (input.name, try input.readAll())
}

/// Reads `[1, 2, 3]`.
func decodeIDs(_ bytes: [UInt8], name: String) throws(CommandError) -> [Int] {
    guard let ids = try? JSONDecoder().decode([Int].self, from: Data(bytes)) else {
        throw CommandError("\(name): it is no JSON list of integers; expected [1, 2, 3]")
    }
    return ids
}

/// Reads `{"text": "..."}`; other members are ignored.
func decodeText(_ line: ArraySlice<UInt8>, place: String) throws(CommandError) -> String {
    struct Line: Decodable { let text: String }
    guard String(validating: line, as: UTF8.self) != nil else { throw CommandError("\(place): it is not UTF-8; expected UTF-8 text") }
    guard let text = try? JSONDecoder().decode(Line.self, from: Data(line)).text else {
        throw CommandError("\(place): it is no JSON object with a text; expected {\"text\": \"...\"}")
    }
    return text
}

/// Reads image tokens: `[1, 2, 3]`, or objects with `tokens` as `rudolph draw --json` and `rudolph encode --json` print them, one or
/// several one after the other.
func decodePictures(_ bytes: [UInt8], name: String) throws(CommandError) -> [[Int]] {
    struct Line: Decodable { let tokens: [Int] }
    func tokens(_ text: some Collection<UInt8>) -> [Int]? {
        let data = Data(text), decoder = JSONDecoder()
        return (try? decoder.decode([Int].self, from: data)) ?? (try? decoder.decode(Line.self, from: data).tokens)
    }
    if let tokens = tokens(bytes) { return [tokens] }
    var pictures: [[Int]] = []
    for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
        guard line.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") }) else { continue }
        guard let tokens = tokens(line) else {
            throw CommandError("\(name): line \(index + 1): no image tokens; expected [1, 2, 3] or {\"tokens\": [1, 2, 3]}")
        }
        pictures.append(tokens)
    }
    guard !pictures.isEmpty else { throw CommandError("\(name): no image tokens; expected [1, 2, 3] or {\"tokens\": [1, 2, 3]}") }
    return pictures
}
