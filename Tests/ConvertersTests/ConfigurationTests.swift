import Converters
import Foundation
import Testing

@Suite struct ConfigurationTests {
    @Test func presetsAreThePublishedModels() throws {
        for (name, layers, hidden, heads, textRows, imageRows, length, tasks) in [
            ("350M", 24, 1024, 16, 16832, 8576, 384, 6), ("350M-v1", 24, 1024, 16, 16448, 8192, 384, 0),
            ("1.3B", 24, 2048, 16, 18560, 8256, 1280, 6), ("2.7B", 32, 2560, 32, 17792, 9216, 1088, 6),
            ("2.7B-FBC2", 32, 2560, 32, 17792, 9216, 1088, 17),
        ] {
            let model = try #require(ModelConfiguration.preset(name))
            #expect(model.layers == layers && model.hiddenSize == hidden && model.heads == heads, "\(name)")
            #expect(model.textRows == textRows && model.imageRows == imageRows && model.sequenceLength == length, "\(name)")
            #expect(model.taskTokens.count == tasks, "\(name)")
            #expect(model.taskTokens.first?.id ?? 16384 == 16384, "\(name)")
            #expect(ModelConfiguration.presetNames.contains(name))
        }
        let tuned = try #require(ModelConfiguration.preset("2.7B-FBC2")).taskTokens
        #expect(tuned.first { $0.name == "<LT_TQA>" }?.id == 16390)
        #expect(tuned.first { $0.name == "<RT_REC>" }?.id == 16400)
        #expect(ModelConfiguration.preset("350m") == nil)
    }

    @Test func readsTheDemoConfiguration() throws {
        let model = try ModelConfiguration(file: Project.demo.appending(path: "config.json").path)
        #expect(model.layers == 8 && model.hiddenSize == 256 && model.heads == 4)
        #expect(model.leftTextLength == 32 && model.imageTokensPerSide == 8 && model.rightTextLength == 32)
        #expect(model.kernelSize == 3 && model.lastKernelSize == 5)
        #expect(model.textVocabularySize == 2048 && model.textRows == 2096 && model.imageRows == 1040)
        #expect(model.taskTokens.map(\.id) == Array(2048...2053))
        #expect(model.taskTokens.first?.name == "<LT_UNK>")
    }

    @Test func missingArgumentsAreTheReferences() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(
            "tiny.json", #"{"model_params": {"num_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 16448}}"#)
        let model = try ModelConfiguration(file: path)
        #expect(model.name == "tiny" && model.leftTextLength == 64 && model.rightTextLength == 64 && model.imageTokensPerSide == 16)
        #expect(model.kernelSize == 7 && model.lastKernelSize == 9 && model.textVocabularySize == 16384 && model.imageRows == 8192)
        #expect(model.taskTokens.isEmpty)
    }

    @Test func whereAFileIsNoJSONIsTold() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("bad.json", #"{"model_params": {"num_layers": three}}"#)
        #expect(failure { _ = try ModelConfiguration(file: path) } == "\(path): is no JSON: Invalid value around character 33.")
    }

    /// They are JSON, of which the decoder would say that it is none.
    @Test func numbersThatAreNoIntegersAreNamed() throws {
        let folder = try TemporaryFolder()
        for number in ["3.5", "1e99", "99999999999999999999"] {
            let layers = SmallModel.json.replacingOccurrences(of: #""num_layers": 3"#, with: "\"num_layers\": \(number)")
            let tokens = SmallModel.json.replacingOccurrences(of: #""name""#, with: "\"special_tokens\": {\"a\": \(number)}, \"name\"")
            for (text, place) in [(layers, "model_params.num_layers"), (tokens, "special_tokens.a")] {
                let path = try folder.write("bad.json", text)
                #expect(failure { _ = try ModelConfiguration(file: path) } == "\(path): \(place): an integer of 64 bits expected")
            }
        }
    }

    @Test func badConfigurationsAreNamed() throws {
        let folder = try TemporaryFolder()
        for (text, words) in [
            ("{", "JSON"), ("[]", "expected"), ("{}", "model_params is missing"), (#"{"model_params": {}}"#, "num_layers is missing"),
            (SmallModel.json.replacingOccurrences(of: #""num_layers": 3"#, with: #""num_layers": "three""#), "model_params.num_layers: Int expected"),
            (SmallModel.json.replacingOccurrences(of: #""num_layers": 3"#, with: #""num_layers": -1"#), "num_layers is -1, expected 1 to"),
            (SmallModel.json.replacingOccurrences(of: #""vocab_size": 17"#, with: #""vocab_size": 5"#), "vocab_size less l_text_seq_length is 0"),
            (SmallModel.json.replacingOccurrences(of: #""vocab_size": 17"#, with: #""vocab_size": 9223372036854775807"#), "vocab_size less"),
            (SmallModel.json.replacingOccurrences(of: #""vocab_size": 17"#, with: #""vocab_size": 1e300"#), "vocab_size: an integer"),
            (SmallModel.json.replacingOccurrences(of: #""hidden_size": 48"#, with: #""hidden_size": 50"#), "not a multiple"),
            (SmallModel.json.replacingOccurrences(of: #""name""#, with: #""special_tokens": {"<LT_UNK>": 11}, "name""#), "<LT_UNK> has the id 11"),
            (SmallModel.json.replacingOccurrences(of: #""name""#, with: #""special_tokens": {"a": 12, "b": 12}, "name""#), "same id"),
            (
                SmallModel.json.replacingOccurrences(of: #""kernel_size""#, with: #""mlp_activation": "relu", "kernel_size""#),
                "mlp_activation is relu"
            ),
            (
                SmallModel.json.replacingOccurrences(of: #""kernel_size""#, with: #""cogview_sandwich_layernorm": false, "kernel_size""#),
                "sandwich"
            ),
        ] {
            let path = try folder.write("bad.json", text)
            let reason = failure { _ = try ModelConfiguration(file: path) }
            #expect(reason?.hasPrefix(path) == true && reason?.contains(words) == true, "\(words): \(reason ?? "accepted")")
        }
        let large = try folder.write("large.json", SmallModel.json + String(repeating: " ", count: 1 << 20))
        #expect(
            failure { _ = try ModelConfiguration(file: large) }
                == "\(large): has \(SmallModel.json.utf8.count + 1_048_576) bytes, expected a configuration of at most 1048576")
    }

    /// Matrices that the reference wrote.
    @Test func masksOfTestsAreTheReferences() throws {
        var small = try SmallModel().configuration
        (small.leftTextLength, small.rightTextLength, small.imageTokensPerSide, small.kernelSize) = (6, 6, 4, 3)
        let demo = try ModelConfiguration(file: Project.demo.appending(path: "config.json").path)
        for (model, prefix) in [(demo, ""), (small, "small_")] {
            let length = model.sequenceLength
            for mask in MaskBuffer.allCases where mask != .lastConvolution || prefix.isEmpty {
                let file = Project.folder.appending(path: "Tests/Golden/\(prefix)\(mask.rawValue)_mask.npy")
                let expected = try Data(contentsOf: file).suffix(length * length).map { $0 != 0 }
                #expect(expected.count == length * length)
                let found = (0..<length * length).map { mask.allows(query: $0 / length, key: $0 % length, in: model) }
                #expect(found == expected, "\(file.lastPathComponent)")
            }
        }
    }

    /// The reference's three matrices for m = 4, l = r = 6, kernel 3, by the image rows that see the first image token and token 5.
    @Test func masksAreTheReferences() throws {
        var model = try SmallModel().configuration
        (model.leftTextLength, model.rightTextLength, model.imageTokensPerSide, model.kernelSize) = (6, 6, 4, 3)
        func seers(_ mask: MaskBuffer, _ key: Int) -> [Int] {
            (6..<22).filter { mask.allows(query: $0, key: 6 + key, in: model) }.map { $0 - 6 }
        }
        #expect(seers(.row, 0) == [0, 1, 2, 3, 4])
        #expect(seers(.row, 5) == [5, 6, 7, 8, 9])
        #expect(seers(.column, 0) == [0, 4, 8, 12])
        #expect(seers(.column, 5) == [5, 9, 13])
        #expect(seers(.convolution, 0) == [0, 1, 4, 5])
        #expect(seers(.convolution, 5) == [5, 6, 8, 9, 10])
        #expect(seers(.convolution, 7) == [7, 10, 11])
        for mask in MaskBuffer.allCases {
            for query in 0..<28 {
                for key in 0..<28 where query < 6 || query >= 22 || key < 6 {
                    #expect(mask.allows(query: query, key: key, in: model) == (key <= query), "\(mask) \(query) \(key)")
                }
            }
        }
    }
}

@Suite struct TextTokenizerModelTests {
    @Test func readsTheDemoModel() throws {
        let model = try TextTokenizerModel(path: Project.demo.appending(path: "bpe.model").path)
        #expect(model.codepoints.count == 96 && model.codepointIDs.count == 96)
        #expect(model.rules.count == 3 * 1948 && model.rules.suffix(3) == [1790, 177, 2047])
        #expect([model.unk, model.pad, model.bos, model.eos] == [1, 0, 2, 3])
        #expect(model.vocabularySize == 2048)
    }

    @Test func spaceBetweenAndBehindIsNoMatter() throws {
        let folder = try TemporaryFolder()
        let plain = try TextTokenizerModel(path: try folder.write("bpe.model", SmallModel.tokenizer))
        for text in [
            SmallModel.tokenizer.replacingOccurrences(of: "\n", with: "\r\n"),
            SmallModel.tokenizer.replacingOccurrences(of: " ", with: " \t "),
            SmallModel.tokenizer.replacingOccurrences(of: "\n", with: "  \n "), SmallModel.tokenizer + "\n \r\n\n",
            String(SmallModel.tokenizer.dropLast()),
        ] {
            #expect(try TextTokenizerModel(path: try folder.write("spaces.model", text)) == plain, "\(text)")
        }
    }

    @Test func badModelsAreNamed() throws {
        let folder = try TemporaryFolder()
        func changed(_ line: Int, _ text: String?) -> String {
            var lines = SmallModel.tokenizer.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            if let text { lines[line - 1] = text } else { lines.remove(at: line - 1) }
            return lines.joined(separator: "\n")
        }
        for (text, words) in [
            ("", "is empty"), ("hello\n", "line 1: the numbers of characters and rules"),
            (changed(1, "5 4"), "line 1: 5 characters and 4 rules announced, but 9 lines follow"),
            (changed(1, "5 99"), "line 1: 5 characters and 99 rules announced"),
            (changed(1, "9223372036854775807 1"), "line 1"), (changed(1, "-1 3"), "line 1"), (changed(1, "4 3"), "line 6: a rule"),
            (changed(2, "55296 4"), "line 2: 55296 is no new Unicode character"), (changed(3, "9601 5"), "line 3: 9601 is no new"),
            (changed(3, "1072 4"), "line 3: token id 4 is there twice"), (changed(3, "1072 -4"), "line 3: -4 is no token id"),
            (changed(3, "1072 99999999999"), "line 3"), (changed(3, "1072 x"), "line 3: a character and its id"),
            (changed(7, "5 77 9"), "line 7: a rule of token 77"), (changed(7, "5 6 8"), "line 7: token id 8 is there twice"),
            (changed(10, "1 0 2"), "line 10: the ids of unk"), (changed(10, "1 0 1 3"), "token id 1 is there twice"),
            (changed(10, "1 0 -1 3"), "all four are needed"), (changed(10, "0 1 2 3"), "pad is 0"),
            (changed(10, nil), "line 1"), (SmallModel.tokenizer + "more\n", "line 11"),
        ] {
            let path = try folder.write("bpe.model", text)
            let reason = failure { _ = try TextTokenizerModel(path: path) }
            #expect(reason?.hasPrefix(path) == true && reason?.contains(words) == true, "\(words): \(reason ?? "accepted")")
        }
        let large = try folder.write("bpe.model", String(repeating: "\n", count: 64 << 20 + 1))
        #expect(
            failure { _ = try TextTokenizerModel(path: large) }
                == "\(large): has 67108865 bytes, expected a YouTokenToMe model of at most 67108864")

        let bytes = [UInt8](SmallModel.tokenizer.utf8)
        for length in 0..<bytes.count - 8 {
            let path = try folder.write("bpe.model", bytes.prefix(length))
            #expect(failure { _ = try TextTokenizerModel(path: path) } != nil, "cut to \(length) bytes")
        }
    }
}
