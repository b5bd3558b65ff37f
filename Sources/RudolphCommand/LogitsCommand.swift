import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

struct LogitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logits",
        abstract: "Write the logits of a whole sequence, to debug a conversion.",
        discussion: """
            The file gets 32-bit little-endian floats, a row for each id: first the text rows, then the image rows, as the reference's \
            forward pass orders them. In the left text a 0 stands for its position's own pad, as in the reference.

            EXAMPLES
              rudolph logits --ids ids.json -o logits.f32 --model my-model.gguf
              python -c "import numpy; print(numpy.fromfile('logits.f32', '<f4'))"
            """)

    @Option(help: ArgumentHelp("A JSON list of ids, left text, image and right text; - reads standard input.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var ids: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
    var output: String

    @OptionGroup var threadOptions: ThreadOptions

    @OptionGroup var transformerOptions: TransformerOptions

    @OptionGroup var shared: SharedOptions

    func run() throws {
        try OutputFile.check(path: output)
        let (name, bytes) = try readInput(ids)
        let ids = try decodeIDs(bytes, name: name)
        let model = try shared.openModel()
        let length = model.configuration.sequenceLength
        guard (1...length).contains(ids.count) else { throw CommandError("\(name): \(ids.count) ids; expected 1 to \(length)") }
        let session = try shared.openSession(
            model, threads: threadOptions.threads, precision: transformerOptions.precision, keyValueFormat: transformerOptions.keyValueFormat,
            for: .texts(1))
        let rows = model.configuration.textRows + model.configuration.imageRows
        var logits: [UInt8] = []
        logits.reserveCapacity(ids.count * rows * 4)
        try naming(name) { () throws(RudolphError) in
            try session.logits(of: ids) { _, row in
                for logit in row { withUnsafeBytes(of: logit.bitPattern.littleEndian) { logits.append(contentsOf: $0) } }
            }
        }
        try writeFiles([(logits, output)])
        if !shared.quiet { note("\(output): \(ids.count) rows of \(rows) logits") }
    }
}
