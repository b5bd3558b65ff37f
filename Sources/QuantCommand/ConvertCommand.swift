import ArgumentParser
import CommandSupport
import Converters
import Foundation
import Rudolph

struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Convert float checkpoints to one packed file (the default).")

    @Option(help: ArgumentHelp("A published model: \(ModelConfiguration.presetNames.joined(separator: ", ")).", valueName: "name"))
    var preset: String?

    @Option(
        help: ArgumentHelp(
            "The sizes of any other model: a JSON file with the reference's arguments under model_params and, where there are task tokens, "
                + "their ids under special_tokens.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var config: String?

    @Option(help: ArgumentHelp("The transformer's checkpoint (torch.save or safetensors).", valueName: "file"), completion: .file())
    var transformer: String

    @Option(help: ArgumentHelp("The image tokenizer's checkpoint (torch.save or safetensors).", valueName: "file"), completion: .file())
    var vqgan: String

    @Option(help: ArgumentHelp("The YouTokenToMe model.", valueName: "file"), completion: .file())
    var tokenizer: String

    @Option(
        help: ArgumentHelp(
            "What the layers' matrices become: f16, int8 (8.0 bits a weight), int4 (4.3 bits), f32 to measure against. Embeddings and head "
                + "are 8 bits wide in int4 files."))
    var type = WeightTypeName(.int4)

    @Flag(
        inversion: .prefixedNo,
        help: ArgumentHelp(
            "Let the columns of int8 and int4 matrices make up for each other's rounding errors: nearly half the damage, for minutes in which "
                + "the model makes up texts and pictures and reads them (default: for both)."))
    var calibration: Bool?

    @Option(name: .shortAndLong, help: ArgumentHelp("The packed file to write.", valueName: "file"), completion: .file(extensions: ["gguf"]))
    var output: String

    @Option(help: ArgumentHelp("The model's name in the file, if not the preset's.", valueName: "text"))
    var name: String?

    @Option(help: ArgumentHelp("Threads that quantize. Default: one for each physical core that the process may use.", valueName: "count"))
    var threads: Int?

    @Flag(help: "Write nothing when there is anything to warn about, such as a tensor that must fall back to another type.")
    var strict = false

    func validate() throws {
        guard (preset == nil) != (config == nil) else {
            throw ValidationError("Give the model's sizes by either --preset or --config.")
        }
        if let preset, ModelConfiguration.preset(preset) == nil {
            throw ValidationError("There is no preset '\(preset)'; there are \(ModelConfiguration.presetNames.joined(separator: ", ")).")
        }
        if calibration == true, !type.type.isInteger {
            throw ValidationError("--calibration is for int8 and int4 matrices; --type is \(type.type.name).")
        }
        let most = Session.maximumThreads
        if let threads, !(1...most).contains(threads) { throw ValidationError("--threads is \(threads), expected 1 to \(most).") }
    }

    func run() throws {
        var configuration: ModelConfiguration
        if let config {
            configuration = try ModelConfiguration(file: config)
            try Conversion.checkOutput(output, isNot: config)
        } else if let known = preset.flatMap(ModelConfiguration.preset) {
            configuration = known
        } else {
            throw ValidationError("Give the model's sizes by either --preset or --config.")
        }
        configuration.name = name ?? configuration.name

        let start = ContinuousClock.now
        let conversion = Conversion(
            transformer: transformer, imageTokenizer: vqgan, textTokenizer: tokenizer, configuration: configuration, type: type.type,
            isCalibrated: calibration ?? true, threads: threads ?? Session.defaultThreads, isStrict: strict)
        let report = try RudolphQuant.withProgress {
            try conversion.run(output: output, progress: $0) { note("warning: \($0)") }
        }
        try RudolphQuant.write(table(report, seconds: (ContinuousClock.now - start) / .seconds(1)))
    }

    private func table(_ report: Conversion.Report, seconds: Double) -> [String] {
        var lines = [["", "tensors", "weights", "stored as", "bits/weight", "SNR dB", "rel. error", "to zero"]]
        for row in report.rows {
            let lossless = row.distortion.noise == 0
            lines.append([
                row.kind.rawValue, "\(row.tensors)", millions(row.distortion.count), row.types.joined(separator: ", "),
                format(row.bitsPerWeight, 2), lossless ? "exact" : format(row.distortion.signalToNoise, 1),
                lossless ? "0" : format(row.distortion.relativeError * 100, 2) + " %",
                format(row.distortion.zeroedShare * 100, 2) + " %",
            ])
        }
        lines.append(["together", "\(report.tensors)", millions(report.values), "", format(report.bitsPerWeight, 2), "", "", ""])
        let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        let rows = lines.map { line in
            line.enumerated().map { column, text in
                let space = String(repeating: " ", count: widths[column] - text.count)
                return column == 0 || column == 3 ? text + space : space + text
            }.joined(separator: "  ")
        }
        let calibrated =
            report.calibratedPositions == 0
            ? [] : ["calibrated with \(report.calibratedPositions) positions: single weights err more, products with them less"]
        return rows + calibrated + ["\(output): \(millions(report.fileSize))B in \(format(seconds, 1)) s"]
    }

    private func format(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
    private func millions(_ count: Int) -> String { format(Double(count) / 1e6, 2) + " M" }
}
