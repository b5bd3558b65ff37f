import Foundation
import Testing

/// What no compiler checks of the sources.
@Suite struct SourceTests {
    static let project = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The lines of the files below a folder that have one of these extensions.
    func files(_ folder: String, _ extensions: Set<String>) throws -> [(path: String, lines: [Substring])] {
        let root = Self.project.appending(path: folder).path
        return try FileManager.default.subpathsOfDirectory(atPath: root).sorted().compactMap { path in
            // Packages that are built inside have folders of their own.
            guard extensions.contains(URL(filePath: path).pathExtension), !path.contains(".build/"), !path.contains(".venv/") else { return nil }
            let text = try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)
            return ("\(folder)/\(path)", text.split(separator: "\n", omittingEmptySubsequences: false))
        }
    }

    /// Public declarations of the libraries are documented, and no other parameters than they have. rudolph.h documents the interface in C.
    @Test func publicDeclarationsAreDocumented() throws {
        var declarations = 0
        let sources = try files("Sources/Rudolph", ["swift"]) + files("Sources/ImageFiles", ["swift"])
        for file in sources where !file.path.contains("/CInterface/") {
            for (index, line) in file.lines.enumerated() where line.wholeMatch(of: /\ *public\b.*/) != nil {
                declarations += 1
                let place = "\(file.path):\(index + 1): \(line)"
                let comment = file.lines[..<index].reversed().prefix { $0.contains(/^ *(\/\/\/|@)/) }
                #expect(comment.contains { $0.contains("///") }, "\(place): no documentation")
                var declaration = ""
                for line in file.lines[index...] {
                    declaration += line
                    if line.hasSuffix("{") || line.hasSuffix("}") { break }
                }
                for line in comment {
                    guard let match = line.wholeMatch(of: /\ *\/\/\/ (?:- Parameter|  -) ([^:]+):.*/) else { continue }
                    let name = match.1
                    #expect(declaration.contains("\(name):"), "\(place): documents \(name), which is no parameter")
                }
            }
        }
        #expect(declarations > 200)
    }

    /// The library's rooms as Docs/ARCHITECTURE.md orders them: each knows only types of those below, and of its own.
    @Test func roomsKnowOnlyThoseBelow() throws {
        let floors = [["Common"], ["Text"], ["ModelFile"], ["Image", "Transformer", "Sampling"], ["Tasks"], ["CInterface"]]
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.project.appending(path: "Sources/Rudolph").path)
        #expect(Set(folders) == Set(floors.joined() + ["Rudolph.docc"]))
        var places: [Substring: (floor: Int, room: String)] = [:]
        let declaration = /^(?:(?:public|package|final) )*(?:struct|class|enum|typealias) (\w+).*/
        for (floor, rooms) in floors.enumerated() {
            for room in rooms {
                for line in try files("Sources/Rudolph/\(room)", ["swift"]).flatMap(\.lines) {
                    if let match = line.wholeMatch(of: declaration) { places[match.1] = (floor, room) }
                }
            }
        }
        #expect(places.count > 60)
        for (floor, rooms) in floors.enumerated() {
            for room in rooms {
                for file in try files("Sources/Rudolph/\(room)", ["swift"]) {
                    for (index, line) in file.lines.enumerated() {
                        for word in line.prefix(upTo: line.firstRange(of: "//")?.lowerBound ?? line.endIndex).matches(of: /\w+/) {
                            guard let place = places[word.output] else { continue }
                            #expect(place.room == room || place.floor < floor, "\(file.path):\(index + 1): knows \(word.output) of \(place.room)")
                        }
                    }
                }
            }
        }
    }

    /// The header of the interface in C describes the top room, and no other takes anything from it.
    @Test func onlyTheInterfaceInCKnowsItsHeader() throws {
        for file in try files("Sources/Rudolph", ["swift"]) {
            #expect(file.lines.contains("import CRudolph") == file.path.contains("/CInterface/"), "\(file.path)")
        }
    }

    @Test func linesFitIntoAWindow() throws {
        for folder in ["Sources", "Converters", "Benchmarks", "Examples", "Scripts", "Tests"] {
            for file in try files(folder, ["swift", "c", "h", "py", "sh"]) where !file.path.hasPrefix("Tests/KernelTests/") {
                for (index, line) in file.lines.enumerated() {
                    #expect(line.count <= 150, "\(file.path):\(index + 1): \(line.count) characters, expected at most 150")
                }
            }
        }
    }
}
