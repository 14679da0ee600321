<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|MapTips">
  <renderer-v2 attr="season" symbollevels="0" enableorderby="0" forceraster="0" type="graduatedSymbol" graduatedMethod="GraduatedColor">
    <ranges>
      <range lower="0" upper="1999" symbol="0" label="before 2000" render="true" />
      <range lower="2000" upper="2009" symbol="1" label="2000 to 2009" render="true" />
      <range lower="2010" upper="2015" symbol="2" label="2010 to 2015" render="true" />
      <range lower="2016" upper="2016" symbol="3" label="2016" render="true" />
      <range lower="2017" upper="2017" symbol="4" label="2017" render="true" />
      <range lower="2018" upper="2018" symbol="5" label="2018" render="true" />
      <range lower="2019" upper="2019" symbol="6" label="2019" render="true" />
      <range lower="2020" upper="2020" symbol="7" label="2020" render="true" />
      <range lower="2021" upper="2021" symbol="8" label="2021" render="true" />
      <range lower="2022" upper="2022" symbol="9" label="2022" render="true" />
      <range lower="2023" upper="2023" symbol="10" label="2023" render="true" />
      <range lower="2024" upper="2024" symbol="11" label="2024" render="true" />
      <range lower="2025" upper="2025" symbol="12" label="2025" render="true" />
      <range lower="2026" upper="2026" symbol="13" label="2026" render="true" />
      <range lower="2027" upper="2027" symbol="14" label="2027" render="true" />
      <range lower="2028" upper="2028" symbol="15" label="2028" render="true" />
      <range lower="2029" upper="2029" symbol="16" label="2029" render="true" />
      <range lower="2030" upper="2030" symbol="17" label="2030" render="true" />
      <range lower="2031" upper="9999" symbol="18" label="after 2030" render="true" />
    </ranges>
    <symbols>
      <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="253,231,37,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="253,231,37,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="218,227,25,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="218,227,25,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="181,222,43,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="181,222,43,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="144,215,67,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="144,215,67,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="4" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="110,206,88,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="110,206,88,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="5" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="78,195,107,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="78,195,107,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="6" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="53,183,121,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="53,183,121,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="7" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="37,171,130,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="37,171,130,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="8" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="31,158,137,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="31,158,137,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="9" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="33,144,141,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="33,144,141,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="10" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="38,130,142,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="38,130,142,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="11" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="43,117,142,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="43,117,142,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="12" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="49,104,142,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="49,104,142,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="13" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="55,90,140,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="55,90,140,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="14" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="62,73,137,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="62,73,137,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="15" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="68,57,131,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="68,57,131,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="16" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="72,40,120,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="72,40,120,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="17" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="72,22,104,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="72,22,104,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="18" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="68,1,84,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="68,1,84,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">&lt;b&gt;[% "code" %]&lt;/b&gt; [% "season" %]&lt;br&gt;[% round("area_m2" / 10000, 2) %] ha&lt;br&gt;[% "source" %]</mapTip>
  <layerGeometryType>2</layerGeometryType>
</qgis>
