import Foundation
import Testing

@Suite struct BundledModelTests {
    /// The command in Models/README.md makes the model that comes with the programs, byte for byte.
    @Test func theDocumentedCommandMakesTheBundledModel() throws {
        let folder = try TemporaryFolder(), made = folder.path("made.gguf"), bundled = "Models/demo/rudolph-demo-int8.gguf"
        let document = try String(contentsOf: Project.folder.appending(path: "Models/README.md"), encoding: .utf8)
        let documented = document.split(separator: "\n").filter { $0.hasPrefix("    ") }.joined(separator: "\n")
        try #require(documented.hasPrefix("    rudolph-quant ") && documented.contains(" -o \(bundled)"), "\(documented)")
        let command = documented.replacing("    rudolph-quant ", with: "'\(QuantCommandTests.program.path)' ", maxReplacements: 1)
            .replacing(" -o \(bundled)", with: " -o '\(made)'")
        let run = try QuantCommandTests().run(
            ["-c", "cd '\(Project.folder.path)' && \(command)"], in: folder, program: URL(filePath: "/bin/sh"))
        #expect(run.status == 0, "\(run.messages)")
        let expected = try Data(contentsOf: Project.folder.appending(path: bundled)), found = try Data(contentsOf: URL(filePath: made))
        let equal = zip(expected, found).prefix { $0 == $1 }.count
        #expect(expected == found, "\(bundled) has \(expected.count) bytes, made \(found.count), \(equal) bytes are equal")
    }
}
