;; What Leiningen resolves must be exactly the files of the lock, whoever starts it: names and SHA-256.
(require '[cemerick.pomegranate.aether :as aether] '[clojure.java.io :as io] '[clojure.string :as string]
         'leiningen.core.classpath 'leiningen.core.main)

(defn sha256 [file]
  (let [bytes (java.nio.file.Files/readAllBytes (.toPath (io/file file)))]
    (format "%064x" (BigInteger. 1 (.digest (java.security.MessageDigest/getInstance "SHA-256") bytes)))))

(def locked ; file name -> SHA-256; `sparse` may run in a folder that holds a link to this file
  (let [root (.getParentFile (.getCanonicalFile (io/file *file*)))]
    (into {} (for [line (string/split-lines (slurp (io/file root "local/services/locks/project.sha256")))]
               [(last (string/split line #"/")) (first (string/split line #" "))]))))

(defn verify [files]
  (let [found (into {} (for [file files] [(.getName (io/file file)) (sha256 file)]))
        wrong (for [file files :when (not= (locked (.getName (io/file file))) (sha256 file))] (str file))
        missing (remove found (keys locked))]
    (when (or (seq wrong) (and (seq files) (seq missing)))
      (leiningen.core.main/abort
       (str "project.clj: not what local/services/locks/project.sha256 says: "
            (string/join ", " (concat wrong (map #(str % " is missing") missing)))
            "\nfix: remove these files from the Maven repository (and dependencies from ~/.lein/profiles.clj)"
            " and start again")))))

;; Leiningen gets every jar from this function; right after it, it unpacks what is native in them.
(alter-var-root
 #'leiningen.core.classpath/get-dependencies
 (fn [get-dependencies]
   (fn [dependencies-key & arguments] ; there are no :plugins below; those of ~/.lein are their owner's
     (let [graph (apply get-dependencies dependencies-key arguments)]
       (when (= dependencies-key :dependencies) (verify (aether/dependency-files graph)))
       graph))))

(defproject qold "0.1.0"
  :resource-paths ["_resources"]
  :target-path "_build"
  :min-lein-version "2.10.0"
  ;; storm-core needs a library that lives on Clojars only and that nothing here uses. An exclusion
  ;; on storm-core itself would hide its version from `sparse`, so it is made one step further down.
  :managed-dependencies [[org.apache.storm/storm-clojure "2.8.3"
                          :exclusions [org.clojars.bipinprasad/carbonite]]]
  :dependencies [[org.apache.storm/storm-core "2.8.3"]]
  :profiles {:base {}
             :uberjar {:dependencies ^:replace []}})
