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
    do {
        return try JSONDecoder().decode(IntegerList.self, from: Data(bytes)).integers
    } catch {
        throw CommandError("\(name): it is no JSON list of integers: \(describe(error, in: bytes)); expected [1, 2, 3]")
    }
}

/// The lines that are not blank, and what messages call them.
func lines(of bytes: [UInt8], name: String) -> [(place: String, line: ArraySlice<UInt8>)] {
    bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated().compactMap { index, line in
        guard line.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") }) else { return nil }
        return ("\(name): line \(index + 1)", line)
    }
}

/// Reads `{"text": "..."}`; other members are ignored.
func decodeText(_ line: ArraySlice<UInt8>, place: String) throws(CommandError) -> String {
    struct Line: Decodable { let text: String }
    guard String(validating: line, as: UTF8.self) != nil else { throw CommandError("\(place): it is not UTF-8; expected UTF-8 text") }
    do {
        return try JSONDecoder().decode(Line.self, from: Data(line)).text
    } catch {
        throw CommandError("\(place): it is no JSON object with a text: \(describe(error, in: line)); expected {\"text\": \"...\"}")
    }
}

/// Reads image tokens: `[1, 2, 3]`, or objects with `tokens` as `rudolph draw --json` and `rudolph encode --json` print them, one or
/// several one after the other.
/// - Returns: for each picture what messages call it, and its tokens.
func decodePictures(_ bytes: [UInt8], name: String) throws(CommandError) -> [(place: String, tokens: [Int])] {
    func failure(_ place: String, _ reason: String) -> CommandError {
        CommandError("\(place): no image tokens\(reason); expected [1, 2, 3] or {\"tokens\": [1, 2, 3]}")
    }
    let whole: any Error
    do {
        return [(name, try decodeTokens(bytes))]
    } catch {
        whole = error
    }
    var pictures: [(place: String, tokens: [Int])] = []
    for (place, line) in lines(of: bytes, name: name) {
        do {
            pictures.append((place, try decodeTokens(line)))
        } catch {
            // A first line that is nothing by itself is the beginning of something that goes on.
            throw pictures.isEmpty ? failure(name, ": \(describe(whole, in: bytes))") : failure(place, ": \(describe(error, in: line))")
        }
    }
    guard !pictures.isEmpty else { throw failure(name, "") }
    return pictures
}

private struct PictureLine: Decodable {
    let tokens: IntegerList
}

/// A list of integers. By itself the decoder does not say which of its numbers is none.
private struct IntegerList: Decodable {
    private(set) var integers: [Int] = []

    init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        while !list.isAtEnd {
            do {
                integers.append(try list.decode(Int.self))
            } catch let error as DecodingError {
                throw error
            } catch {
                throw DecodingError.dataCorruptedError(in: list, debugDescription: "no integer")
            }
        }
    }
}

private func decodeTokens(_ text: some Collection<UInt8>) throws -> [Int] {
    let start = text.first { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "{") }
    if start == UInt8(ascii: "{") { return try JSONDecoder().decode(PictureLine.self, from: Data(text)).tokens.integers }
    return try JSONDecoder().decode(IntegerList.self, from: Data(text)).integers
}

/// What a decoder found in a text and where: in what is no JSON by line and column, else by keys and indices.
func describe(_ error: any Error, in text: some Collection<UInt8>) -> String {
    let bytes = Array(text)
    guard let place = JSONSyntax.failure(in: bytes) else { return describe(error) }
    return place == bytes.count ? "it ends too early" : "no JSON from \(describe(place: place, in: bytes)) on"
}

/// The line and the column of a byte.
func describe(place: Int, in bytes: [UInt8]) -> String {
    let before = String(decoding: bytes[..<place], as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    return "line \(before.count), column \((before.last?.count ?? 0) + 1)"
}

/// What a decoder found in JSON and where, by keys and indices behind the first `known` of them.
func describe(_ error: any Error, behind known: Int = 0) -> String {
    guard let error = error as? DecodingError else { return "\(error)" }
    let context: DecodingError.Context
    var reason: String
    switch error {
    case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found):
        context = found
        reason = found.debugDescription
        if reason.hasSuffix(".") { reason.removeLast() }
        reason = reason.prefix(1).lowercased() + reason.dropFirst()
    case .keyNotFound(let key, let found):
        context = found
        reason = "no \"\(key.stringValue)\""
    @unknown default:
        return "\(error)"
    }
    let path = context.codingPath.dropFirst(known).map { key in key.intValue.map { "[\($0)]" } ?? ".\(key.stringValue)" }.joined()
    return path.isEmpty ? reason : "at \(path.hasPrefix(".") ? String(path.dropFirst()) : path): \(reason)"
}
