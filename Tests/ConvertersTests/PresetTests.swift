import Converters
import Foundation
import Testing

@testable import RudolphCommand

/// The published shapes that stand elsewhere are the converter's.
@Suite struct PresetTests {
    func shape(_ model: ModelConfiguration) -> [Int] {
        [model.leftTextLength, model.imageTokensPerSide, model.rightTextLength, model.kernelSize, model.lastKernelSize]
    }

    @Test func masksAreOfThePublishedShapes() throws {
        var shapes: Set<[Int]> = []
        for preset in ShapePreset.allCases {
            let drawn = preset.shape
            let found = [drawn.left, drawn.side, drawn.right, drawn.kernel, drawn.lastKernel]
            #expect(found == shape(try #require(ModelConfiguration.preset(preset.rawValue))), "\(preset.rawValue)")
            shapes.insert(found)
        }
        // Other presets have the masks of one of these.
        for name in ModelConfiguration.presetNames {
            #expect(shapes.contains(shape(try #require(ModelConfiguration.preset(name)))), "\(name)")
        }
    }

    @Test func benchmarksAreOfThePublishedShapes() throws {
        let script = try String(contentsOf: Project.folder.appending(path: "Benchmarks/synthetic.py"), encoding: .utf8)
        let sizes = try #require(script.firstMatch(of: /\nBPE_IDS, CODES = (\d+), (\d+)\n/))
        var names: [String] = []
        for match in script.matches(of: /\n    "([^"]+)": \(([0-9, ]+)\),/) {
            let name = String(match.1)
            let model = try #require(ModelConfiguration.preset(name), "\(name)")
            let found = match.2.split(separator: ", ").map { Int($0) }
            let expected = [model.layers, model.hiddenSize, model.heads] + shape(model) + [model.textSpecialTokens, model.imageSpecialTokens]
            #expect(found == expected, "\(name)")
            #expect([Int(sizes.1), Int(sizes.2)] == [model.textVocabularySize, model.imageVocabularySize], "\(name)")
            names.append(name)
        }
        #expect(names == ModelConfiguration.presetNames)
    }

    @Test func theReadmeNamesThemAll() throws {
        let readme = try String(contentsOf: Project.folder.appending(path: "README.md"), encoding: .utf8)
        #expect(readme.contains("Presets: \(ModelConfiguration.presetNames.joined(separator: ", "));"))
    }
}
